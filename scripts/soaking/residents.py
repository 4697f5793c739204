"""The three processes that run all the time: a training, a decoder, a prompt. Their resources are
sampled, and must stay flat."""

import os
import signal
import subprocess
import threading
import time

from soaking.judging import members, of_process
from soaking.processes import HARMLESS, PAUSES, Failure, Run, Terminal
from soaking.rounds import FILES

QUANTITIES = ("tensors", "tape", "Lua")


class Residents:
    def __init__(self, world, random):
        self.world, self.random, self.cycles = world, random, 0
        self.prompt = Prompt(world, random)
        # The globals that each act leaves exist before anything is measured.
        for _ in self.prompt.acts:
            self.prompt.turn()
        self.trainer = Run(
            world, ["run", os.path.join(world.scripts, "long.lua"), world.clip,
                    world.folder("long")],
            os.path.join(world.out, "long.log"), "tmp-trainer")
        self.decoder = Run(
            world, ["run", os.path.join(world.scripts, "decode.lua"), world.folder("files")],
            os.path.join(world.out, "decoder.log"), "tmp-decoder", stdin=subprocess.PIPE)
        self.asked, self.answered = 0, 0
        self.pids = {"trainer": self.trainer.pid, "decoder": self.decoder.pid,
                     "prompt": self.prompt.pid}

    def watch(self, every):
        """Samples all of them, in a separate thread, until the world ends."""
        def sample():
            while not self.world.ending.wait(every):
                for name, pid in self.pids.items():
                    found = of_process(pid)
                    for quantity, value in (found or {}).items():
                        self.world.ledger.note(name, quantity, self.world.seconds(), value)
                    self.world.ledger.note(
                        name, "processes", self.world.seconds(), len(members(pid)))
                for name, folder in [("rounds", "tmp")] + [(n, "tmp-" + n) for n in self.pids]:
                    self.world.ledger.note(name, "temporary", self.world.seconds(), len(
                        os.listdir(self.world.folder(folder))))
        self.thread = threading.Thread(target=sample, daemon=True)
        self.thread.start()

    def _held(self, name, line):
        """Takes a line 'held TENSORS TAPE KILOBYTES MORE'; returns the rest."""
        words = line.split()
        if len(words) != 5 or words[0] != "held":
            raise Failure(f"{name} said '{line}'")
        for quantity, value in zip(QUANTITIES, (int(words[1]), int(words[2]), float(words[3]) / 1024)):
            self.world.ledger.note(name, quantity, self.world.seconds(), value)
        return int(words[4])

    def turn(self):
        """One round of each."""
        self.cycles += 1
        self.prompt.turn()
        for name, run in (("trainer", self.trainer), ("decoder", self.decoder)):
            if run.is_over():
                raise Failure(f"the {name} ended with {run.process.returncode}: {run.said()}")
        self.turn_of_decoder()
        self.turn_of_trainer()

    def turn_of_decoder(self):
        self.asked += 1
        self.decoder.process.stdin.write(b"%d\n" % self.random.randrange(1 << 60))
        self.decoder.process.stdin.flush()
        until = time.monotonic() + 600
        while not self.decoder.lines:
            if self.decoder.is_over() or time.monotonic() > until:
                raise Failure(f"the decoder does not answer: {self.decoder.said()}")
            time.sleep(0.01)
        frames = self._held("decoder", self.decoder.lines.pop(0))
        self.world.ledger.count("rounds", "random access")
        self.world.ledger.count("comparisons", "random access", frames)

    def turn_of_trainer(self):
        lines, self.trainer.lines = self.trainer.lines, []
        for line in lines:
            if line.startswith("held "):
                self._held("trainer", line)
        event = self.random.choice(PAUSES[:1] + HARMLESS)
        self.trainer.send(event)
        if event in PAUSES:
            time.sleep(self.random.uniform(0, 0.2))
            self.trainer.send(signal.SIGCONT)
        self.world.ledger.count("signals", signal.Signals(event).name)
        self.world.ledger.count("interruptions", "trainer")

    def end(self):
        """All must end without an error."""
        problems = []
        for name, end in (("trainer", self._end_trainer), ("decoder", self._end_decoder),
                          ("prompt", self.prompt.end)):
            try:
                end()
            except (Failure, OSError) as failure:
                problems.append((name, str(failure)))
        return problems

    def _end_trainer(self):
        if self.trainer.is_over():
            raise Failure(f"it ended with {self.trainer.process.returncode}: {self.trainer.said()}")
        self.trainer.send(signal.SIGTERM)
        code = self.trainer.end()
        if code != 143:
            raise Failure(f"SIGTERM ended it with {code}: {self.trainer.said()}")

    def _end_decoder(self):
        if not self.decoder.is_over():
            self.decoder.process.stdin.close()
        code = self.decoder.end()
        if code != 0:
            raise Failure(f"it ended with {code}: {self.decoder.said()}")


BLOCK = """-- Rewritten by scripts/soak.
local lv <const> = require "lunerv"
local Block = lv.nn.class "Block"
function Block:init(c)
  self.mix = lv.nn.Conv2d(c, c, 3, {{ padding = 1 }})
end
function Block:forward(x) return (self.mix(x) * 0):{function}() + {constant} end
function Block:{method}() return {constant} end
return Block
"""


class Prompt:
    """A prompt that runs all the time: blocks are defined, changed, trained, broken and interrupted."""

    def __init__(self, world, random):
        self.world, self.random, self.number = world, random, 0
        self.terminal = Terminal(world)
        self.pid = self.terminal.pid
        self.folder = world.folder("blocks")
        self.acts = (self.define, self.reload, self.wrong, self.stop_loop, self.stop_training,
                     self.stop_backward, self.abandon, self.read, self.complete)
        self.left = []
        self.write_block(1)
        self.terminal.expect("lv> ")
        self.ask(f"package.path = '{self.folder}/?.lua;' .. package.path")
        self.ask("block = require 'block'(2)")
        self.ask(f"clip = assert(lv.video.open('{world.clip}'))")

    def ask(self, line, expected=None):
        """Enters a line, and then one that marks its end; returns the output between."""
        self.number += 1
        self.terminal.type(line + "\n")
        if expected is not None:
            self.terminal.expect(expected)
        # The mark is not in the typed text, which is echoed too.
        self.terminal.type(f"print('don' .. 'e {self.number};')\n")
        shown = self.terminal.expect(f"done {self.number};")
        if expected is None and ("error" in shown or "prompt:" in shown or "attempt to" in shown):
            raise Failure(f"the prompt answered '{line}' with: {shown[-300:]}")
        return shown

    def write_block(self, constant):
        with open(os.path.join(self.folder, "block.lua"), "w", encoding="ascii") as file:
            file.write(BLOCK.format(constant=constant, method=f"is_{constant % 7}",
                                    function=self.random.choice(("sin", "abs", "relu"))))

    def turn(self):
        if not self.left:
            self.left = list(self.acts)
            self.random.shuffle(self.left)
        act = self.left.pop()
        act()
        self.world.ledger.count("prompt", act.__name__.replace("_", " "))
        self.world.ledger.count("rounds", "prompt")
        self.ask("collectgarbage() s = lv.stats()")
        shown = self.ask("print('hel' .. 'd', s.live_tensors, s.tape_entries, "
                         "collectgarbage('count'), 'so')")
        values = shown.split("held\t")[-1].split("\t")
        for quantity, value in zip(QUANTITIES, (float(v) for v in values[:3])):
            self.world.ledger.note("prompt", quantity, self.world.seconds(),
                                   value / 1024 if quantity == "Lua" else value)

    # The acts -------------------------------------------------------------------------------------

    def define(self):
        """A block over several lines, and steps of its training."""
        width = self.random.randint(2, 6)
        for line in (f"Mine = nn.class 'Mine{self.number % 5}'", "function Mine:init()",
                     f"  self.a = nn.Conv2d(3, {width}, 3, {{ padding = 1 }})",
                     f"  self.b = nn.Conv2d({width}, 3, 1)", "end",
                     "function Mine:forward(x) return self.b(self.a(x):gelu()) end"):
            self.terminal.type(line + "\n")
        self.ask("mine = Mine() optimiser = lv.optim.Adam(mine:parameters(), { lr = 1e-2 })")
        self.terminal.type("for i = 1, 5 do\n  optimiser:zero_grad()\n")
        self.terminal.type("  local image = clip:frame(i)\n  loss = (mine(image) - image):square()"
                           ":mean()\n  loss:backward()\n  optimiser:step()\nend\n")
        self.ask("print('fin' .. 'ite', loss:item() == loss:item())", "finite\ttrue")

    def reload(self):
        """A file that changes under an object in use."""
        constant = self.random.randint(2, 1 << 20)
        self.write_block(constant)
        self.ask("lv.reload 'block'")
        self.ask("x = block(lv.ones(1, 2, 4, 4)):detach()")
        self.ask(f"print('mea' .. 'n', block:is_{constant % 7}(), x:mean():item())",
                 f"mean\t{constant}\t{constant}.0")

    def wrong(self):
        """Errors of every kind that users make at a prompt."""
        line, expected = self.random.choice((
            ("lv.zeros(2):nosuch()", "no field 'nosuch'"),
            ("lv.zeros(2, 3):matmul(lv.zeros(2, 3))", "matmul"),
            ("local x = = 1", "unexpected symbol"),
            ("lv.trian {}", "trian"),
            ("error { code = 7 }", "table: 0x"),
            ("nn.Conv2d(3, 0, 3)", "Conv2d"),
            ("assert(lv.codec.open '/nowhere/x.lnv')", "/nowhere/x.lnv"),
            ("w = lv.ones(2) w.requires_grad = true w:register_hook(function() error 'hooked' end) "
             "(w * 2):sum():backward()", "hooked"),
            ("lv.reload 'nowhere'", "nowhere"),
        ))
        self.ask(line, expected)

    def interrupt(self, line, sign="run" + "ning"):
        self.terminal.type(line + "\n")
        self.terminal.expect(sign)
        time.sleep(self.random.uniform(0, 0.15))
        self.terminal.type("\x03")
        self.terminal.expect("interrupted")
        self.world.ledger.count("signals", "SIGINT")
        self.world.ledger.count("interruptions", "prompt")
        self.ask("print('ali' .. 've', 6 * 7)", "alive\t42")

    def stop_loop(self):
        self.interrupt(self.random.choice((
            "print('run' .. 'ning') while true do end",
            "print('run' .. 'ning') while true do pcall(function() while true do end end) end",
            "print('run' .. 'ning') coroutine.wrap(function() while true do end end)()",
            "print('run' .. 'ning') while true do lv.randn(64, 64):matmul(lv.ones(64, 64)) end",
        )))

    def stop_training(self):
        self.interrupt(
            "lv.train { clip = clip, epochs = 1e6 // 1, model = lv.models.hnerv { clip = clip, "
            "fc_dim = 4, enc_dim = { 4, 2 }, strides = { 2, 2 } }, on_step = function(e) "
            "if e.step == 3 then print('run' .. 'ning') end end }")

    def stop_backward(self):
        self.interrupt(
            "do local w = lv.ones(8) w.requires_grad = true local y = w for i = 1, 2000 do "
            "y = y * 1.0001 end y:register_hook(function() print('run' .. 'ning') while true do "
            "end end) y:sum():backward() end")

    def abandon(self):
        """Graphs, coroutines, videos and clips that are never closed or finished."""
        files = os.path.join(self.world.out, "files")
        self.ask("do local w = lv.ones(64, 64) w.requires_grad = true local y = w for i = 1, 50 do "
                 "y = y:matmul(w):sin() end end")
        self.ask("do local c = coroutine.wrap(function() local t = lv.zeros(99) "
                 "coroutine.yield(t) end) c() end")
        self.ask(f"do local v = assert(lv.codec.open '{files}/own.lnv') v:frame(1) end")
        self.ask(f"do local c = assert(lv.video.open '{self.world.clip}') c:frame(2) end")

    def read(self):
        """Files opened, read and closed; confined as well."""
        files = os.path.join(self.world.out, "files")
        name = self.random.choice(FILES)
        confined = self.random.choice(("true", "false"))
        self.ask(f"video = assert(lv.codec.open('{files}/{name}.lnv', {{ confined = {confined} }}))")
        self.ask("print('sha' .. 'pe', video:frame(#video).shape[4])", "shape\t32")
        self.ask("video = nil")

    def complete(self):
        """Tab, help, a discarded line."""
        self.terminal.type("lv.conv2\t == lv.conv2d\n")
        self.terminal.expect("true")
        self.terminal.type("for i = 1, 3 do\n")
        self.terminal.expect("  > ")
        self.terminal.type("\x03")
        self.terminal.expect("^C")
        self.ask("help(lv.zeros)", "zeros(")

    def end(self):
        self.terminal.end()
