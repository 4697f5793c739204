-- The text of a page: first the parts that runs share, then each run.
local errors <const> = require "lunerv.errors"
local frames <const> = require "lunerv.report.frames"
local html <const> = require "lunerv.report.html"
local native <const> = require "lunerv.native"
local pictures <const> = require "lunerv.report.pictures"
local plot <const> = require "lunerv.plot"
local run_part <const> = require "lunerv.report.run"
local script <const> = require "lunerv.report.script"
local style <const> = require "lunerv.report.style"
local words <const> = require "lunerv.report.words"

local page <const> = {}

local fill <const> = html.fill
-- The bytes of a page for pictures, as they are encoded in it, and the maximum number of pictures.
local picture_bytes <const>, most_pictures <const> = 3.6e6, 6
-- Maximum numbers: points of curves on a page, rows of a table, curves of a picture.
local most_points <const>, most_rows <const>, most_curves <const> = 8000, 400, 24

-- The page sends nothing and loads nothing.
local policy <const> = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
  .. "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

-- Pictures ----------------------------------------------------------------------------------

-- The pictures of each run: three for a single run, fewer if there are several.
local function pictures_of(runs)
  local with_frames = {}
  for _, run in ipairs(runs) do
    if run.frames and #run.frames > 0 then with_frames[#with_frames + 1] = run end
  end
  local result = {}
  for _, run in ipairs(runs) do result[run] = {} end
  if #with_frames == 0 then return result end
  local each = #with_frames == 1 and 3 or math.max(1, most_pictures // #with_frames)
  local shown = math.min(#with_frames, most_pictures)
  for k = 1, shown do
    local run = with_frames[k]
    local count = math.min(each, #run.frames, 3)
    for i = 1, count do
      local frame = run.frames[count == 1 and (#run.frames + 1) // 2 or i]
      -- Unreadable frames do not prevent a page.
      local ok, picture = errors.attempt(pictures.of, frame, picture_bytes / (shown * each))
      if not ok then
        frames.left_out(frame.decoded, picture)
      elseif picture then
        table.insert(result[run], picture)
      end
    end
  end
  return result
end

-- Curves ------------------------------------------------------------------------------------

-- At most `most` of a curve's points, evenly spaced, including the last.
local function thinned(points, most)
  if #points <= most then return points end
  local list = {}
  for i = 1, most do list[i] = points[1 + (i - 1) * (#points - 1) // (most - 1)] end
  return list
end

local function training_data(runs)
  local list, count = {}, 0
  for _, run in ipairs(runs) do
    if #run.curve > 0 then count = count + 1 end
  end
  for index, run in ipairs(runs) do
    if #run.curve > 0 then
      local stages = {}
      for i, stage in ipairs(run.stages) do stages[i] = stage.name end
      list[#list + 1] = { id = index, name = words.cut(run.name, 120), colour = (index - 1) % 7,
        stages = stages, points = thinned(run.curve, math.max(40, most_points // count)) }
    end
  end
  return list
end

-- Rate-distortion curves: those of rd_curve.lua, and the files that belong to none.
local function rate_data(found)
  local list, belongs = {}, {}
  for k, set in ipairs(found.curves) do
    for _, curve in ipairs(set.curves) do
      local points = {}
      for i, p in ipairs(thinned(curve.points, 200)) do
        points[i] = { p.bpp, p.psnr, p.bytes or native.json_null }
        if p.bytes then belongs[p.bytes] = true end
      end
      local name = #found.curves > 1 and set.name .. ": " .. curve.name or curve.name
      if #list < most_curves then
        list[#list + 1] = { name = words.cut(name, 120), colour = #list % 7, points = points,
          dashed = curve.name:match "^x26%d" ~= nil, set = k }
      end
    end
  end
  local loose = {}
  for _, run in ipairs(found.runs) do
    local f = run.figures
    if f.bpp and f.bpp > 0 and (f.psnr_8bit or f.psnr) and not belongs[f.bytes] then
      loose[#loose + 1] = { name = words.cut(run.name, 120),
        points = { { f.bpp, f.psnr_8bit or f.psnr, f.bytes or native.json_null } } }
    end
  end
  if #list == 0 and #loose < 2 then return list end
  if #loose > 8 then
    local all = { name = "files", loose = true, points = {} }
    for i, one in ipairs(loose) do
      all.points[i] = one.points[1]
      all.points[i][4] = one.name
    end
    loose = { all }
  end
  for _, one in ipairs(loose) do
    one.colour = #list % 7
    list[#list + 1] = one
  end
  return list
end

-- Pictures for readers without scripts.
local function still(out, series, o, index_x, index_y)
  local p = plot(o)
  for i, s in ipairs(series) do
    local xs, ys = {}, {}
    for k, point in ipairs(s.points) do
      local x, y = point[index_x], point[index_y]
      xs[k], ys[k] = x, type(y) == "number" and y or 0 / 0
    end
    -- Series of the same name would be merged.
    local name = native.printable(i > 1 and ("%s (%d)"):format(s.name, i) or s.name)
    if not s.loose then p:line(name, xs, ys, { dashed = s.dashed or nil }) end
    if o.x.log then p:points(name, xs, ys) end
  end
  out[#out + 1] = '<noscript><div class="still">' .. p:svg() .. "</div></noscript>"
end

local function training_section(out, training)
  if #training == 0 then return end
  out[#out + 1] = '<section class="card" data-training><div class="bar"><h2>Training</h2>'
    .. '<span class="choice" role="group" aria-label="horizontal axis">'
    .. '<button type="button" value="epochs" aria-pressed="true">epochs</button>'
    .. '<button type="button" value="seconds" aria-pressed="false">seconds</button></span></div>'
    .. '<div class="legend"></div><div class="two">'
    .. '<div class="chart psnr" tabindex="0" role="group" aria-label="PSNR in training; arrow keys'
    .. ' show its values"></div>'
    .. '<div class="chart loss" tabindex="0" role="group" aria-label="loss; arrow keys show its'
    .. ' values"></div></div>'
  still(out, training, { x = { label = "epochs" }, y = { label = "PSNR in training, dB" } }, 1, 3)
  out[#out + 1] = "</section>"
end

local function rate_section(out, found, rates)
  if #rates == 0 then return end
  out[#out + 1] = '<section class="card" data-rates="0"><div class="bar"><h2>Rate and distortion'
    .. '</h2></div><div class="legend"></div><div class="chart tall" tabindex="0" role="group" '
    .. 'aria-label="rate against quality; arrow keys show its values"></div>'
  still(out, rates, { x = { label = "bits per pixel", log = true },
    y = { label = "PSNR, 8 bits, dB" } }, 1, 2)
  for _, set in ipairs(found.curves) do
    for i = 1, math.min(#set.notes, 12) do
      out[#out + 1] = fill('<p class="note">%s</p>', words.cut(set.notes[i], 300))
    end
  end
  out[#out + 1] = "</section>"
end

-- Tables ------------------------------------------------------------------------------------

local columns <const> = {
  { "model", function(run) return run.model and words.cut(run.model, 60) end },
  { "parameters", function(run)
    local count = run.figures.parameters_stored
    return count and words.count(count)
  end },
  { "PSNR, dB", function(run)
    local psnr = run.figures.psnr_8bit or run.figures.psnr
    return psnr and ("%.2f"):format(psnr)
  end },
  { "MS-SSIM", function(run)
    return run.figures.ms_ssim and ("%.4f"):format(run.figures.ms_ssim)
  end },
  { "bytes", function(run) return run.figures.bytes and words.count(run.figures.bytes) end },
  { "bpp", function(run) return run.figures.bpp and ("%.4f"):format(run.figures.bpp) end },
  { "steps", function(run) return run.steps > 0 and words.count(run.steps) end },
  { "time", function(run)
    return run.figures.seconds and words.seconds(run.figures.seconds)
  end },
  { "state", function(run) return run.finished and "finished" or "unfinished" end },
}

local function comparison(out, runs)
  if #runs < 2 then return end
  local shown = {}
  for _, column in ipairs(columns) do
    for _, run in ipairs(runs) do
      if column[2](run) then
        shown[#shown + 1] = column
        break
      end
    end
  end
  out[#out + 1] = '<section class="card"><div class="bar"><h2>Comparison</h2></div>'
    .. '<div class="scroll"><table><thead><tr><th scope="col">run</th>'
  for _, column in ipairs(shown) do
    out[#out + 1] = fill('<th scope="col">%s</th>', column[1])
  end
  out[#out + 1] = "</tr></thead><tbody>"
  for index, run in ipairs(runs) do
    out[#out + 1] = fill('<tr><th scope="row"><span class="swatch c%d"></span> '
      .. '<a href="#run-%d">%s</a></th>', (index - 1) % 7, index, words.cut(run.name, 120))
    for _, column in ipairs(shown) do
      out[#out + 1] = fill("<td>%s</td>", column[2](run) or "")
    end
    out[#out + 1] = "</tr>"
  end
  out[#out + 1] = "</tbody></table></div></section>"
end

local function batch(out, one, title)
  local done = 0
  for _, row in ipairs(one.rows) do
    if row.status == "done" then done = done + 1 end
  end
  out[#out + 1] = fill('<section class="card"><div class="bar"><h2>%s</h2>'
    .. '<span class="note">%d of %d clips done</span></div>', title or "Batch", done, #one.rows)
  out[#out + 1] = '<div class="scroll"><table><thead><tr><th scope="col">clip</th>'
    .. '<th scope="col" class="l">status</th><th scope="col">bytes</th><th scope="col">bpp</th>'
    .. '<th scope="col">PSNR, dB</th><th scope="col">MS-SSIM</th><th scope="col">time</th>'
    .. '</tr></thead><tbody>'
  local function cell(value, format)
    return type(value) == "number" and format(value) or ""
  end
  local function as(format) return function(value) return format:format(value) end end
  for i = 1, math.min(#one.rows, most_rows) do
    local row = one.rows[i]
    local clip = words.cut(type(row.clip) == "string" and row.clip or "?", 300)
    local status = type(row.status) == "string" and row.status or "?"
    if type(row.message) == "string" then status = status .. ": " .. row.message end
    out[#out + 1] = fill('<tr><th scope="row" title="%s">%s</th><td class="message">%s</td>'
      .. "<td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>",
      clip, clip:match "[^/]+$" or clip, words.cut(status, 300),
      cell(row.bytes, words.count), cell(row.bpp, as "%.4f"),
      cell(row.psnr_8bit or row.psnr, as "%.2f"), cell(row.ms_ssim, as "%.4f"),
      cell(row.seconds, words.seconds))
  end
  out[#out + 1] = "</tbody></table></div>"
  if #one.rows > most_rows then
    out[#out + 1] = fill('<p class="note">%d more are left out.</p>', #one.rows - most_rows)
  end
  out[#out + 1] = "</section>"
end

-- The page ----------------------------------------------------------------------------------

local function title_of(found)
  if #found.runs == 1 and #found.batches == 0 then return found.runs[1].name end
  return found.name or ("%d runs"):format(#found.runs + found.left_out)
end

-- The text of the page for the result of report/read.lua.
function page.text(found, title)
  title = words.cut(title or title_of(found), 200)
  local training, rates = training_data(found.runs), rate_data(found)
  local shown = pictures_of(found.runs)
  local out = {
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
    fill('<meta http-equiv="Content-Security-Policy" content="%s">', policy),
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
      .. '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">',
    fill("<title>%s – lunerv</title>", title), "<style>", style, "</style></head><body>",
    '<header class="top"><p class="mark">lunerv report</p>',
  }
  -- A single run needs no separate article.
  local alone = #found.runs == 1 and #found.batches == 0 and found.runs[1]
  if alone then
    run_part.heading(out, alone, title, 1)
  else
    out[#out + 1] = fill("<h1>%s</h1>", title)
  end
  out[#out + 1] = "</header><main>"
  if alone then run_part.figures(out, alone) end
  for _, one in ipairs(found.batches) do
    batch(out, one, #found.batches > 1 and "Batch " .. words.cut(one.name, 120) or nil)
  end
  comparison(out, found.runs)
  rate_section(out, found, rates)
  training_section(out, training)
  if alone then
    run_part.details(out, alone, shown[alone])
  else
    for index, run in ipairs(found.runs) do run_part.article(out, run, index, shown[run]) end
  end
  if found.left_out > 0 then
    out[#out + 1] = fill('<p class="note">%d more runs are left out.</p>', found.left_out)
  end
  out[#out + 1] = '</main><footer>Written by <code>lunerv report</code>. The page is '
    .. "self-contained and loads nothing.</footer>"
  out[#out + 1] = '<script type="application/json" id="data">'
    .. html.json { training = training, rates = { rates } } .. "</script>"
  out[#out + 1] = "<script>" .. script .. "</script></body></html>\n"
  return table.concat(out, "\n")
end

return page
