local harness <const> = require "harness"

-- The elements of an SVG text: { name, attributes, text = }; fails unless every tag is closed.
return function(svg)
  assert(utf8.len(svg))
  local list, open = {}, {}
  for close, name, attributes, empty, text in svg:gmatch "<(/?)([%w]+)([^<>]-)(/?)>([^<]*)" do
    if close == "/" then
      harness.equal(table.remove(open), name)
    else
      local element = { name = name, text = text }
      for key, value in attributes:gmatch '([%w-:]+)="([^"]*)"' do element[key] = value end
      list[#list + 1] = element
      if empty ~= "/" then open[#open + 1] = name end
    end
    for entity in text:gmatch "&[^;]*;?" do
      assert(({ ["&amp;"] = 1, ["&lt;"] = 1, ["&gt;"] = 1, ["&quot;"] = 1 })[entity], entity)
    end
  end
  harness.equal(#open, 0)
  return list
end
