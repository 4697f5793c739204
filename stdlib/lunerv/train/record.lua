-- OUT/run.json: the description and progress of a training, for the page of lv.report. It is
-- written with every checkpoint and sometimes between them, so that a killed run has one too.
local errors <const> = require "lunerv.errors"
local native <const> = require "lunerv.native"
local saved <const> = require "lunerv.saved"
local tree <const> = require "lunerv.report.tree"

local record <const> = { schema = 1 }

-- Seconds between two writes, and the most epochs that are stored: beyond that, every other one is.
-- Writes take at most one part in 200 of a run's time.
local every <const>, share <const>, most <const> = 5, 200, 4096

local function path_of(self) return self.out .. "/run.json" end

-- The text or number `value`; nil for other types. Clips may be a user's own objects.
local function plain(value)
  local kind = type(value)
  return (kind == "string" or kind == "number") and value or nil
end

local function clip_of(clip)
  local inner = type(clip.clip) == "table" and clip.clip or {}
  return {
    source = plain(clip.source) or plain(inner.source), frames = #clip > 0 and #clip or nil,
    height = plain(clip.height), width = plain(clip.width), fps = plain(clip.fps),
  }
end

local function read(self)
  local found = saved.any_table(path_of(self))
  return found and found.schema == record.schema and found or {}
end

-- Begins the record of a run, or continues that of the resumed run.
function record.start(self, command)
  local ok, parts = errors.attempt(tree.of, self.model)
  local epochs = {}
  for _, entry in ipairs(self.step > 0 and read(self).epochs or {}) do
    if type(entry) == "table" and type(entry.step) == "number" and entry.step <= self.step then
      epochs[#epochs + 1] = entry
    end
  end
  self.recorded = {
    schema = record.schema, command = command, seed = self.o.seed, threads = native.threads(),
    model = self.model.kind or self.model.class_name, label = self.o.label,
    clip = clip_of(self.clip), options = self.identity, tree = ok and parts or nil,
    steps = self.steps, epochs = epochs, finished = false,
  }
  record.write(self)
end

-- Adds the finished epoch, once: a run that stops at the end of an epoch repeats that end.
function record.epoch(self, e)
  if not self.recorded then return end
  local kept, list = {}, self.recorded.epochs
  for _, entry in ipairs(list) do
    if entry.epoch < e.epoch then kept[#kept + 1] = entry end
  end
  if #kept >= most then
    list, kept = kept, {}
    for i = 2, #list, 2 do kept[#kept + 1] = list[i] end
  end
  kept[#kept + 1] = { epoch = e.epoch, step = e.step, loss = e.loss, psnr = e.psnr, lr = e.lr,
    seconds = e.seconds }
  self.recorded.epochs = kept
  if native.time() >= self.record_due then record.write(self) end
end

-- Writes the record. A failure is reported once; the run continues.
function record.write(self)
  if not self.recorded or self.record_failed then return end
  self.recorded.step, self.recorded.seconds = self.step, self.seconds
  local began = native.time()
  local ok, problem = native.write_file(path_of(self), native.json_encode(self.recorded) .. "\n")
  local now = native.time()
  self.record_due = now + math.max(every, share * (now - began))
  if ok then return end
  self.record_failed = true
  native.stderr(("warning: the record of the run could not be written: %s\n"):format(
    errors.reason(problem)))
end

-- Writes the record of a finished run.
function record.finish(self)
  if not self.recorded then return end
  self.recorded.finished = true
  record.write(self)
end

return record
