-- The part of a page about one run: figures, frames, bytes and seconds, modules, command.
local html <const> = require "lunerv.report.html"
local pictures <const> = require "lunerv.report.pictures"
local words <const> = require "lunerv.report.words"

local run_part <const> = {}

local fill <const> = html.fill
-- The longest command, and the most modules and options, that are shown for a run.
local longest_command <const>, most_nodes <const>, most_options <const> = 4000, 1200, 120
local deepest <const> = 24

-- Figures -----------------------------------------------------------------------------------

local function figure(out, name, value, unit)
  if value == nil then return end
  out[#out + 1] = fill("<div><dt>%s</dt><dd>%s", name, value)
    .. (unit and fill(" <small>%s</small>", unit) or "") .. "</dd></div>"
end

local function with(format, value) return value and format:format(value) or nil end

function run_part.figures(out, run)
  local f = run.figures
  if run.problem then
    out[#out + 1] = fill('<p class="problem">%s</p>', words.cut(run.problem, 600))
  end
  out[#out + 1] = '<dl class="figures">'
  if f.psnr_8bit or f.psnr then
    local name = f.psnr_8bit and "PSNR, 8 bits" or "PSNR"
    figure(out, run.compresses and not run.finished and "PSNR, file so far" or name,
      ("%.2f"):format(f.psnr_8bit or f.psnr), "dB")
  end
  figure(out, "MS-SSIM", with("%.4f", f.ms_ssim))
  figure(out, "file", f.bytes and words.bytes(f.bytes))
  figure(out, "bits per pixel", with("%.4f", f.bpp))
  local parameters = f.parameters_stored or run.tree and tonumber(run.tree.count)
  figure(out, f.parameters_stored and "parameters stored" or "parameters",
    parameters and words.count(parameters))
  local seconds = f.seconds or run.stages[#run.stages] and run.stages[#run.stages].seconds
  figure(out, "time", seconds and words.seconds(seconds))
  if run.steps > 0 then
    figure(out, "steps", words.count(run.steps), not run.finished and run.steps < run.steps_asked
      and "of " .. words.count(run.steps_asked) or nil)
  end
  out[#out + 1] = "</dl>"
end

-- Frames ------------------------------------------------------------------------------------

local function frame(out, picture, height, width)
  local note = picture.scaled and ("; shown at %d×%d of %d×%d"):format(picture.scaled[2],
    picture.scaled[1], width, height) or ""
  out[#out + 1] = fill('<div class="frame"><div class="compare" style="max-width:%dpx">',
    math.max(width, math.min(960, 5 * width)))
  local class = width < 480 and " small" or ""
  for _, image in ipairs { { "decoded", picture.decoded, "decoded" },
    { "source", picture.source, "source" }, { "map", picture.map, "error map" } } do
    out[#out + 1] = fill('<img class="%s" src="%s" width="%d" height="%d" alt="%s">',
      image[1] .. class, image[2], picture.scaled and picture.scaled[2] or width,
      picture.scaled and picture.scaled[1] or height,
      ("frame %d, %s"):format(picture.index, image[3]))
  end
  out[#out + 1] = fill('<input type="range" min="0" max="100" value="50" step="1" '
    .. 'aria-label="percentage of frame %d that shows the source"><span class="handle"></span>'
    .. '<span class="tag a">source</span><span class="tag b">decoded</span></div>', picture.index)
  out[#out + 1] = fill('<p class="note">Frame %d, %s dB%s<span class="map-note" hidden>. Error: '
    .. 'black: 0, white: %d levels or more</span></p></div>', picture.index,
    ("%.2f"):format(picture.psnr), note, pictures.white_levels // 1 | 0)
end

local function frames(out, list)
  if #list == 0 then return end
  out[#out + 1] = '<div class="card" data-frames><div class="bar"><h3>Frames</h3>'
  if #list > 1 then
    out[#out + 1] = '<span class="choice" data-of="frame" role="group" aria-label="frame">'
    for i, picture in ipairs(list) do
      out[#out + 1] = fill('<button type="button" value="%d" aria-pressed="%s">%d</button>', i - 1,
        tostring(i == 1), picture.index)
    end
    out[#out + 1] = "</span>"
  end
  out[#out + 1] = '<span class="choice" role="group" aria-label="what is shown">'
    .. '<button type="button" value="both" aria-pressed="true">source | decoded</button>'
    .. '<button type="button" value="errors" aria-pressed="false">error map</button></span></div>'
  for _, picture in ipairs(list) do frame(out, picture, picture.height, picture.width) end
  out[#out + 1] = "</div>"
end

-- Shares ------------------------------------------------------------------------------------

-- A card with a strip and a table of the parts of a whole: `rows` are { name, value }.
local function shares(out, title, rows, show, note)
  local total = 0
  for _, row in ipairs(rows) do total = total + row[2] end
  if total <= 0 then return end
  out[#out + 1] = fill('<div class="card"><h3>%s</h3><div class="strip" aria-hidden="true">', title)
  for i, row in ipairs(rows) do
    if row[2] > 0 then
      out[#out + 1] = ('<i class="c%d" style="flex:%.5f 0 0"></i>'):format((i - 1) % 7,
        row[2] / total)
    end
  end
  out[#out + 1] = '</div><div class="scroll"><table><tbody>'
  for i, row in ipairs(rows) do
    out[#out + 1] = fill('<tr><th scope="row"><span class="swatch c%d"></span>%s</th><td>%s</td>'
      .. "<td>%s</td></tr>", (i - 1) % 7, words.cut(row[1], 120), show(row[2]),
      ("%.1f %%"):format(100 * row[2] / total))
  end
  out[#out + 1] = "</tbody></table></div>"
  if note then out[#out + 1] = fill('<p class="note">%s</p>', words.cut(note, 600)) end
  out[#out + 1] = "</div>"
end

local function bytes_and_seconds(out, run)
  local sections, seconds, sum = {}, {}, 0
  for i, section in ipairs(run.sections or {}) do sections[i] = { section.name, section.bytes } end
  for i, stage in ipairs(run.stages) do
    seconds[i], sum = { stage.name, stage.seconds }, sum + stage.seconds
  end
  local rest = (run.figures.seconds or 0) - sum
  if #seconds > 0 and rest > 0.005 * sum then
    seconds[#seconds + 1] = { "planning, files, evaluation", rest }
  end
  if #sections == 0 and #seconds < 2 then return end
  out[#out + 1] = '<div class="two">'
  shares(out, "Bytes", sections, words.count, run.decoder and "Decoder: " .. run.decoder)
  if #seconds > 1 then shares(out, "Seconds", seconds, words.seconds) end
  out[#out + 1] = "</div>"
end

-- Modules -----------------------------------------------------------------------------------

local function shape_of(shape)
  local sizes = {}
  for i, size in ipairs(type(shape) == "table" and shape or {}) do
    sizes[i] = ("%d"):format(tonumber(size) or 0)
  end
  return #sizes > 0 and table.concat(sizes, "×") or "1"
end

local function share_bar(count, whole)
  return ('<span class="count">%s</span><span class="share"><i style="width:%.1f%%"></i></span>')
    :format(words.count(count), 100 * math.min(1, count / math.max(whole, 1)))
end

local node

-- Tensors and modules of a node; `left` counts how many may still be shown.
local function children(out, parent, whole, depth, left)
  for _, tensor in ipairs(type(parent.tensors) == "table" and parent.tensors or {}) do
    if left[1] <= 0 then return end
    left[1] = left[1] - 1
    local count = 1
    for _, size in ipairs(type(tensor.shape) == "table" and tensor.shape or {}) do
      count = count * (tonumber(size) or 0)
    end
    out[#out + 1] = fill('<div class="leaf"><span class="name">%s</span> <span class="shape">%s'
      .. "</span>%s", words.cut(tostring(tensor.name), 120), shape_of(tensor.shape),
      tensor.trained == false and " (not trained)" or "")
    out[#out + 1] = share_bar(count, whole) .. "</div>"
  end
  for _, child in ipairs(type(parent.children) == "table" and parent.children or {}) do
    if left[1] <= 0 or depth > deepest then return end
    node(out, child, whole, depth, left)
  end
end

function node(out, one, whole, depth, left)
  if type(one) ~= "table" then return end
  left[1] = left[1] - 1
  out[#out + 1] = fill('<details%s><summary><span class="name">%s</span> '
    .. '<span class="class">%s</span>', depth < 1 and " open" or "",
    words.cut(tostring(one.name or ""), 120), words.cut(tostring(one.class or ""), 120))
  out[#out + 1] = share_bar(tonumber(one.count) or 0, whole) .. "</summary>"
  children(out, one, whole, depth + 1, left)
  out[#out + 1] = "</details>"
end

local function modules(out, run)
  local root = run.tree
  local whole = root and tonumber(root.count)
  if not whole then return end
  out[#out + 1] = fill('<div class="card"><div class="bar"><h3>Modules</h3><span class="note">%s, '
    .. "%s trained values</span></div>", words.cut(tostring(root.class or "model"), 120),
    words.count(whole))
  out[#out + 1] = '<div class="tree">'
  local left = { most_nodes }
  children(out, root, whole, 1, left)
  out[#out + 1] = "</div>"
  if left[1] <= 0 then out[#out + 1] = '<p class="note">The rest is left out.</p>' end
  out[#out + 1] = "</div>"
end

-- Command -----------------------------------------------------------------------------------

local function fact(out, name, value)
  if value == nil or value == "" then return end
  out[#out + 1] = fill("<div><dt>%s</dt><dd>%s</dd></div>", name, words.cut(value, 300))
end

-- Fields that are shown elsewhere on the page.
local shown_elsewhere <const> = { psnr = true, psnr_8bit = true, ms_ssim = true, bytes = true,
  bpp = true, parameters_stored = true, seconds = true, seconds_per_step = true,
  peak_rss_bytes = true, threads = true, seed = true, steps = true, command = true, model = true,
  file = true }

local function sorted_keys(from, skip)
  local keys = {}
  for key in pairs(from) do
    if type(key) == "string" and not (skip and skip[key]) then keys[#keys + 1] = key end
  end
  table.sort(keys)
  return keys
end

local function command(out, run)
  local f, clip = run.figures, run.clip
  out[#out + 1] = '<div class="card"><h3>Command and machine</h3>'
  if run.command then
    out[#out + 1] = fill("<pre>%s</pre>", words.cut(run.command, longest_command))
  end
  out[#out + 1] = '<dl class="facts">'
  fact(out, "clip", type(clip.source) == "string" and clip.source or nil)
  fact(out, "seed", with("%.0f", f.seed))
  fact(out, "threads", with("%.0f", f.threads))
  fact(out, "seconds per step", with("%.3g", f.seconds_per_step))
  fact(out, "peak memory", f.peak_rss_bytes and words.bytes(f.peak_rss_bytes))
  fact(out, "PSNR before rounding", f.psnr_8bit and f.psnr and ("%.2f dB"):format(f.psnr))
  fact(out, "segments", run.segments and run.segments > 1 and words.count(run.segments) or nil)
  for _, key in ipairs(sorted_keys(f, shown_elsewhere)) do
    fact(out, (key:gsub("_", " ")), words.value(f[key]))
  end
  fact(out, "folder or file", run.path)
  out[#out + 1] = "</dl>"
  local names = sorted_keys(run.options or {})
  if #names > 0 then
    out[#out + 1] = '<details class="more"><summary>All options</summary><dl class="facts">'
    for i = 1, math.min(#names, most_options) do
      fact(out, names[i], words.value(run.options[names[i]]))
    end
    out[#out + 1] = "</dl></details>"
  end
  out[#out + 1] = "</div>"
end

-- The line below a run's name.
function run_part.summary(run)
  local clip, parts = run.clip, {}
  if run.model then parts[#parts + 1] = words.cut(run.model, 120) end
  if tonumber(clip.width) and tonumber(clip.height) then
    parts[#parts + 1] = ("%d×%d"):format(clip.width // 1 | 0, clip.height // 1 | 0)
  end
  if tonumber(clip.frames) then
    parts[#parts + 1] = ("%d frames"):format(clip.frames // 1 | 0)
  end
  if tonumber(clip.fps) then parts[#parts + 1] = ("%.6g per second"):format(clip.fps) end
  return table.concat(parts, " · ")
end

-- Adds a run's name as a heading of `level`, whether it is finished, and the line below.
function run_part.heading(out, run, name, level)
  out[#out + 1] = ('<div class="run-head"><h%d>'):format(level)
    .. fill('%s</h', words.cut(name, 200)) .. level
    .. fill('><span class="state %s">%s</span><p>%s</p></div>', run.finished and "done" or "wait",
      run.finished and "finished" or "unfinished", run_part.summary(run))
end

-- Adds what comes below a run's figures; `list` are its pictures.
function run_part.details(out, run, list)
  frames(out, list)
  bytes_and_seconds(out, run)
  modules(out, run)
  command(out, run)
end

-- Adds the article of run number `index` among others.
function run_part.article(out, run, index, list)
  out[#out + 1] = ('<article id="run-%d">'):format(index)
  run_part.heading(out, run, run.name, 2)
  run_part.figures(out, run)
  run_part.details(out, run, list)
  out[#out + 1] = "</article>"
end

return run_part
