-- lunerv doctor: checks this machine for what lunerv uses, and says what to install or change.
local kernels <const> = require "lunerv.bench.kernels"
local native <const> = require "lunerv.native"
local process <const> = require "lunerv.bench.process"

local doctor <const> = {}

-- A finding: { name, state, text, advice, value }. States: "ok"; "note" (could be better); "bad"
-- (lunerv does not work).
local function finding(name, state, text, advice, value)
  return { name = name, state = state, text = text, advice = advice, value = value }
end

local function gigabytes(bytes) return ("%.1f GB"):format(bytes / 2 ^ 30) end

-- Lines of /proc/cpuinfo by name, for the first processor.
local function processor()
  local facts = {}
  for line in (native.read_file "/proc/cpuinfo" or ""):gmatch "[^\n]+" do
    local name, value = line:match "^(.-)%s*:%s*(.*)$"
    if name and not facts[name] then facts[name] = value end
  end
  return facts
end

-- Instruction sets, best first, and the processor flags that they need.
local sets <const> = {
  { "x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma bmi2" },
  { "x86-64-v3", "avx2 fma bmi2" },
}

local function best_set(flags)
  for _, set in ipairs(sets) do
    local has = true
    for flag in set[2]:gmatch "%S+" do
      has = has and (" " .. flags .. " "):find(" " .. flag .. " ", 1, true) ~= nil
    end
    if has then return set[1] end
  end
  return "baseline"
end

local function instruction_set(facts)
  local built, best = native.versions().march, best_set(facts.flags or "")
  local text = ("built for %s, the processor has %s"):format(built, best)
  local value = { built = built, available = best }
  if built == best or built == "native" then
    return finding("instruction set", "ok", text, nil, value)
  end
  local advice = built == "baseline" and "this build is slow: build again, without LUNERV_MARCH"
    or "build on this machine, without LUNERV_MARCH, to use all of it"
  return finding("instruction set", "note", text, advice, value)
end

-- Encoders and decoders, their uses, and whether lunerv needs them.
local codecs <const> = {
  { "ffv1", "encoder", "exact videos (.mkv)", true },
  { "ffv1", "decoder", "reading those", true },
  { "png", "encoder", "folders of images", true },
  { "png", "decoder", "reading those", true },
  { "libx264", "encoder", "lossy videos (.mp4), and comparisons with x264" },
  { "libx265", "encoder", "x265 to compare with" },
  { "h264", "decoder", "most clips" },
  { "hevc", "decoder", "clips from phones" },
  { "vp9", "decoder", "clips from the web" },
  { "av1", "decoder", "recent web videos" },
}

local function libav()
  local missing, needed, value = {}, false, {}
  for _, codec in ipairs(codecs) do
    local name, role, what, is_needed = table.unpack(codec)
    local there = native.has_codec(name, role)
      or name == "av1" and native.has_codec("libdav1d", role)
    value[name .. " " .. role] = there
    if not there then
      missing[#missing + 1] = ("%s %s (%s)"):format(name, role, what)
      needed = needed or is_needed
    end
  end
  if #missing == 0 then
    return finding("codecs", "ok", "all " .. #codecs .. " that are used", nil, value)
  end
  return finding("codecs", needed and "bad" or "note", "missing: " .. table.concat(missing, ", "),
    "install an FFmpeg that has them (Debian and Ubuntu: libavcodec-extra)", value)
end

local function filters()
  if native.has_filters() then
    return finding("filters", "ok", "libavfilter is there", nil, true)
  end
  return finding("filters", "note", "libavfilter is not found",
    "install it for high dynamic range and interlaced video (Debian and Ubuntu: libavfilter-dev)",
    false)
end

local function sandbox()
  local actions = native.read_file "/proc/sys/kernel/seccomp/actions_avail"
  local there = actions ~= nil and actions:find("kill_process", 1, true) ~= nil
  if there then
    return finding("sandbox", "ok", "the kernel filters system calls (seccomp)", nil, true)
  end
  return finding("sandbox", "note", "the kernel does not report that it filters system calls",
    "files with a decoder of their own need a Linux kernel with seccomp", false)
end

local function library()
  local folder = os.getenv "LUNERV_STDLIB" or ""
  if folder == "" then
    return finding("Lua library", "ok", "embedded in the program", nil, "embedded")
  end
  return finding("Lua library", "note", "read from " .. folder,
    "unset LUNERV_STDLIB unless you work on the library", folder)
end

local function disk()
  local bytes = native.disk_free "."
  if not bytes then return finding("disk", "ok", "the file system does not report it", nil, nil) end
  local text = gigabytes(bytes) .. " free in this folder"
  if bytes >= 2 ^ 30 then return finding("disk", "ok", text, nil, bytes) end
  return finding("disk", "note", text, "use a folder with more space (--out)", bytes)
end

local function memory()
  local bytes = native.memory()
  if bytes >= 2 * 2 ^ 30 then return finding("memory", "ok", gigabytes(bytes), nil, bytes) end
  return finding("memory", "note", gigabytes(bytes),
    "large frames need more: --resize, --head-scale and --cache save some", bytes)
end

local function pytorch()
  local pipe = io.popen "python3 -c 'import torch; print(torch.__version__)' 2>/dev/null"
  local version = pipe and pipe:read "l"
  if pipe then pipe:close() end
  native.time() -- notices a Ctrl-C that ended the reading
  if version then return finding("PyTorch", "ok", version, nil, version) end
  return finding("PyTorch", "ok", "not found; only `lunerv bench` compares with it", nil, nil)
end

-- The share of the processors that other programs use, in a third of a second.
local function busy()
  local before, count = process.busy()
  if not before then return 0 end
  local began = native.time()
  native.sleep(0.3)
  local seconds = native.time() - began
  return (process.busy() - before) / (seconds * count)
end

-- A convolution of usual size below this share of the roof is slowed down by something.
local least_share <const> = 0.8

-- Times the kernels: about three seconds.
local function timing()
  local others = busy()
  local shape
  for _, c in ipairs(kernels.shapes()) do
    if kernels.name(c) == "42→42 3x3 180x320" then shape = c end
  end
  local bandwidth = native.peak_bandwidth()
  local result = kernels.measure({ shape }, function() end)
  local c = result.kernels[1]
  local value = { roof_gflops = result.roof_gflops, memory_gbytes = bandwidth,
    convolution_gflops = c.forward_gflops, share = c.forward_share, others = others }
  local text = ("%.0f GFLOP/s at most, %.1f GB/s from memory; a convolution %.0f (%.2f of it)")
    :format(value.roof_gflops, bandwidth, value.convolution_gflops, value.share)
  if others > 0.2 then
    return finding("speed", "note", text,
      ("other programs use %.0f %% of the processors: end them, or repeat this later")
        :format(100 * others), value)
  end
  if value.share < least_share then
    return finding("speed", "note", text, "slower than expected: the machine may be virtual and "
      .. "share its processors, or its processor may be throttled by heat", value)
  end
  return finding("speed", "ok", text, nil, value)
end

local function ranks()
  local mpi = native.versions().mpi
  if mpi ~= "" then return finding("mpi", "ok", mpi .. " is built in", nil, mpi) end
  return finding("mpi", "ok", "built without MPI, which several machines would need (scripts/setup "
    .. "--mpi, then swift build -c release --traits MPI)", nil, false)
end

--- Findings about this machine: { usable, versions, findings }.
---
---@param timed boolean  whether kernels are timed
---@return table
function doctor.examine(timed)
  local facts, threads = processor(), native.threads()
  local findings = {
    finding("processor", "ok", ("%s, %d thread%s"):format(facts["model name"] or "unknown",
      threads, threads == 1 and "" or "s"), nil, { model = facts["model name"],
      threads = threads }),
    instruction_set(facts), memory(), disk(), libav(), filters(), sandbox(), library(), ranks(),
    pytorch(),
  }
  if timed then findings[#findings + 1] = timing() end
  local usable = true
  for _, found in ipairs(findings) do usable = usable and found.state ~= "bad" end
  return { usable = usable, versions = native.versions(), findings = findings }
end

-- lunerv doctor: prints the findings, and returns whether lunerv works.
function doctor.main(form, timed)
  local report = doctor.examine(timed == "timing")
  if form == "json" then
    print(native.json_encode(report))
    return report.usable
  end
  local v = report.versions
  print(("lunerv %s, API %d; %s, %s, %s, libav %s"):format(v.lunerv, v.api, v.lua, v.openblas,
    v.fftw, v.libav))
  local marks = { ok = "ok", note = "note", bad = "BAD" }
  for _, found in ipairs(report.findings) do
    print(native.printable(("%-4s  %-15s  %s"):format(marks[found.state], found.name, found.text)))
    if found.advice then print("      → " .. found.advice) end
  end
  print(report.usable and "lunerv can be used." or "lunerv does not work in this state.")
  return report.usable
end

return doctor
