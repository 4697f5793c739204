-- Reports of `lunerv bench`: for a terminal, and as the README's tables.
local kernels <const> = require "lunerv.bench.kernels"
local kinds <const> = require "lunerv.models.kinds"
local torch <const> = require "lunerv.bench.torch"

local report <const> = {}

local modes <const> = {
  train = "training step", decode = "decoding a frame", loss = "loss and its gradient",
}

local function title(s)
  local kind = kinds.by_name[s.model]
  return kind and kind.title or s.model
end

local function is_number(value) return type(value) == "number" end

local function pad(text, width) return text .. (" "):rep(math.max(width - utf8.len(text), 0)) end

-- 15.7 s, 84.2 ms
local function duration(seconds)
  if seconds < 1 then return ("%.3g ms"):format(seconds * 1e3) end
  return ("%.3g s"):format(seconds)
end

report.title, report.duration = title, duration

local function label_of(name, theirs)
  if name == "eager" then return "PyTorch eager" end
  if name == "compiled" then return "PyTorch compiled" end
  return theirs.allocator == "glibc_retain" and "PyTorch glibc*" or "PyTorch jemalloc"
end

-- Cases -------------------------------------------------------------------------------------

local phase_order <const> = { "frame", "encode", "decode", "loss", "backward", "optimiser" }

local function phases_of(ours)
  local phases = {}
  for _, name in ipairs(phase_order) do
    local seconds = ours.phases[name]
    if seconds then phases[#phases + 1] = ("%s %s"):format(name, duration(seconds)) end
  end
  return table.concat(phases, ", ")
end

local function row(name, seconds, ratio, bytes)
  return ("  %-18s %10s %9.2f %9.2f"):format(name, duration(seconds), ratio, bytes / 1e9)
end

-- One case (steps.summary) on a terminal.
function report.case(s)
  local ours, theirs = s.lunerv, s.torch
  local lines = {
    ("%s at %s, %s%d threads: %s"):format(title(s), s.size,
      ours.parameters and ours.parameters .. " parameters, " or "", s.threads, modes[s.mode]),
    "                           a step     times    memory",
    "                                     lunerv        GB",
    row("lunerv", ours.seconds_per_step, 1, ours.peak_rss_bytes),
  }
  for _, name in ipairs(torch.variants) do
    if is_number(theirs[name]) then
      lines[#lines + 1] = row(label_of(name, theirs), theirs[name],
        theirs[name] / ours.seconds_per_step, theirs.peak_rss_bytes[name])
    else
      lines[#lines + 1] = ("  %-18s skipped: %s"):format(label_of(name, theirs),
        theirs.skipped[name])
    end
  end
  if theirs.allocator == "glibc_retain" then
    lines[#lines + 1] = "  * jemalloc is not installed: glibc is set to keep freed pages"
  end
  lines[#lines + 1] = "  of lunerv's step: " .. phases_of(ours)
  lines[#lines + 1] = ("  %d minor page faults per step; Lua takes %.2f %% of its time"):format(
    ours.page_faults_per_step // 1, 100 * ours.lua_share)
  return table.concat(lines, "\n")
end

-- Kernels -----------------------------------------------------------------------------------

local product_titles <const> = {
  forward = "forward", data_gradient = "data gradient", weight_gradient = "weight gradient",
}

-- The result of kernels.measure for a terminal.
function report.kernels(result)
  local has_algorithms = false
  local lines = {
    ("multiply-add roof: %.1f GFLOP/s, %d threads"):format(result.roof_gflops, result.threads),
    "                                            forward    data grad.  weight grad.",
    "                                        effective GFLOP/s, of the roof",
  }
  for _, c in ipairs(result.kernels) do
    local cells = {}
    for i, product in ipairs(kernels.products) do
      cells[i] = ("%5.0f %3.0f %%"):format(c[product .. "_gflops"], 100 * c[product .. "_share"])
    end
    local count = c.count > 1 and (" ×%d"):format(c.count) or ""
    lines[#lines + 1] = ("  %s %s  %s"):format(pad(kernels.name(c) .. count, 28),
      pad(c.choice or "reference", 9), table.concat(cells, "  "))
    has_algorithms = has_algorithms or c.algorithms ~= nil
  end
  lines[#lines + 1] = "Effective: the direct sum's operations are counted. Winograd's kernels do "
    .. "fewer, and\nmay pass the roof. /2 is a stride, d2 a dilation, g4 groups of channels."
  if result.operators then lines[#lines + 1] = report.operators(result) end
  if has_algorithms then lines[#lines + 1] = report.algorithms(result) end
  return table.concat(lines, "\n")
end

-- Memory-bound operators and the memory roof.
function report.operators(result)
  local roof = result.memory_gbs
  local lines = {
    "", ("Operators, GB/s of what they read and write once (memory: %.1f):"):format(roof),
    ("  %-42s %11s %13s"):format("", "forward", "gradients"),
  }
  for _, op in ipairs(result.operators) do
    lines[#lines + 1] = ("  %s %5.1f %3.0f %%  %5.1f %3.0f %%"):format(pad(op.name, 42),
      op.forward_gbs, 100 * op.forward_gbs / roof, op.gradient_gbs, 100 * op.gradient_gbs / roof)
  end
  return table.concat(lines, "\n")
end

-- The other algorithms of each shape, and where the table does not choose the fastest.
function report.algorithms(result)
  local lines, wrong = { "", "Every algorithm, effective GFLOP/s:" }, {}
  for _, c in ipairs(result.kernels) do
    local names = {}
    for name in pairs(c.algorithms or {}) do names[#names + 1] = name end
    table.sort(names)
    for i, name in ipairs(names) do
      local cells = {}
      for j, product in ipairs(kernels.products) do
        cells[j] = ("%11.0f"):format(c.algorithms[name][product])
      end
      lines[#lines + 1] = ("  %s %s%s %s"):format(pad(i == 1 and kernels.name(c) or "", 28),
        name == c.choice and "*" or " ", pad(name, 9), table.concat(cells))
    end
    for _, better in ipairs(c.algorithms and kernels.better(c) or {}) do
      wrong[#wrong + 1] = ("  %s, %s: %s is %.2f times as fast as %s"):format(kernels.name(c),
        product_titles[better.product], better.algorithm, better.times, c.choice)
    end
  end
  lines[#lines + 1] = "  (* the table's choice)"
  lines[#lines + 1] = #wrong == 0 and "The table's choice is the fastest everywhere."
    or "The table's choice is not the fastest:"
  return table.concat(table.move(wrong, 1, #wrong, #lines + 1, lines), "\n")
end

-- All of it ---------------------------------------------------------------------------------

-- The result of bench.run for a terminal.
function report.text(result)
  local parts = {}
  if result.kernels then parts[1] = report.kernels(result.kernels) end
  for _, s in ipairs(result.cases) do
    parts[#parts + 1] = s.failed and ("%s: %s"):format(s.name, s.failed) or report.case(s)
  end
  if #result.left_out > 0 then
    parts[#parts + 1] = ("left out for lack of time (--minutes): %s"):format(
      table.concat(result.left_out, ", "))
  end
  parts[#parts + 1] = "Times drift with load and temperature; the ratios are of this run."
  return table.concat(parts, "\n\n")
end

-- "15.7 s (**4.29**)", or a dash.
local function against(seconds, ours)
  if not is_number(seconds) then return "–" end
  return ("%s (**%.3g×**)"):format(duration(seconds), seconds / ours)
end

local function gigabytes(bytes)
  return is_number(bytes) and ("%.3g GB"):format(bytes / 1e9) or "–"
end

local function best_of(theirs)
  local best
  for _, name in ipairs(torch.variants) do
    if is_number(theirs[name]) and (not best or theirs[name] < theirs[best]) then best = name end
  end
  return best and theirs[best]
end

-- The same as tables for the README.
function report.markdown(result)
  local m, lines = result.machine, {}
  local function add(text, ...) lines[#lines + 1] = text:format(...) end
  local version, allocator, has_compiled
  local rows = {}
  for _, s in ipairs(result.cases) do
    if not s.failed then
      local ours, theirs = s.lunerv, s.torch
      version, allocator = version or theirs.version, allocator or theirs.allocator
      has_compiled = has_compiled or is_number(theirs.compiled)
      rows[#rows + 1] = ("| %s, %s, %s%s | %s | %s | %s | %s | %s |"):format(title(s), s.size,
        modes[s.mode], s.threads ~= m.threads and (", %d threads"):format(s.threads) or "",
        duration(ours.seconds_per_step), against(theirs.eager, ours.seconds_per_step),
        against(best_of(theirs), ours.seconds_per_step),
        s.mode == "loss" and "–" or gigabytes(ours.peak_rss_bytes),
        s.mode == "loss" and "–" or gigabytes(theirs.peak_rss_bytes.eager))
    end
  end
  add("`%s`: %s, %d threads%s.", result.command, m.processor, m.threads,
    version and ", PyTorch " .. version or "")
  if #rows > 0 then
    add ""
    add "| | lunerv | PyTorch as installed | PyTorch at its best | memory | PyTorch's |"
    add "|---|---|---|---|---|---|"
    for _, text in ipairs(rows) do lines[#lines + 1] = text end
    add ""
    add("Medians of steps in turns; in brackets PyTorch's time over lunerv's. At its best: the "
      .. "fastest of as installed, with %s keeping freed pages%s.",
      allocator == "jemalloc" and "jemalloc" or "glibc's allocator",
      has_compiled and ", and compiled" or "")
  end
  if result.kernels then
    local k = result.kernels
    add ""
    add("| convolution | forward | data gradient | weight gradient |")
    add "|---|---|---|---|"
    for _, c in ipairs(k.kernels) do
      add("| %s | %.0f (%.2f) | %.0f (%.2f) | %.0f (%.2f) |", kernels.name(c), c.forward_gflops,
        c.forward_share, c.data_gradient_gflops, c.data_gradient_share, c.weight_gradient_gflops,
        c.weight_gradient_share)
    end
    add ""
    add("Effective GFLOP/s, in brackets over the multiply-add roof of the same run (%.0f GFLOP/s).",
      k.roof_gflops)
  end
  return table.concat(lines, "\n")
end

return report
