"""An interpreter of pickles that calls nothing but the constructors of objects.py."""

import struct

from torch_files.objects import (CONSTRUCTORS, DTYPES, INERT, STORAGES, Global, Inert, Odd, Refused,
                                 Tensor, key_of, printable)

ONES = {b"N": None, b"\x88": True, b"\x89": False}
# Opcodes of an integer, of a text or of bytes after its length, and the form of the number.
INTEGERS = {b"J": "<i", b"K": "<B", b"M": "<H"}
TEXTS = {b"X": "<I", b"\x8c": "<B", b"\x8d": "<Q", b"T": "<I", b"U": "<B"}
BYTES = {b"B": "<I", b"C": "<B", b"\x8e": "<Q", b"\x96": "<Q"}
GETS = {b"h": "<B", b"j": "<I"}
PUTS = {b"q": "<B", b"r": "<I"}
LONGS = {b"\x8a": "<B", b"\x8b": "<I"}
TUPLES = {b"\x85": 1, b"\x86": 2, b"\x87": 3}
MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Pickle:
    """Reads one pickle from `data` at `at`; `persistent` makes a storage of what names one."""

    def __init__(self, data, at, persistent, inert=()):
        self.data, self.at, self.start, self.persistent = data, at, at, persistent
        self.inert, self.stack, self.marks, self.memo = inert, [], [], {}
        self.work = 16 * len(data)

    def read(self):
        try:
            while True:
                opcode = self.take(1)
                if opcode == b".":
                    return self.stack.pop()
                self.step(opcode)
        except Refused as problem:
            raise Refused("%s (at byte %d of the pickle)" % (problem, self.at - self.start))
        except (IndexError, KeyError, TypeError, ValueError, AttributeError, struct.error):
            raise Refused("the pickle is damaged at its byte %d" % (self.at - self.start))

    def take(self, count):
        if count > len(self.data) - self.at:
            raise Refused("the pickle ends too early")
        self.at += count
        return bytes(self.data[self.at - count:self.at])

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self):
        for end in range(self.at, min(self.at + 1000, len(self.data))):
            if self.data[end] == 10:
                text = self.take(end - self.at)
                self.at += 1
                return text.decode("utf-8")
        raise Refused("a line of the pickle has no end")

    def since_mark(self):
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def step(self, op):
        push = self.stack.append
        if op in ONES:
            push(ONES[op])
        elif op in INTEGERS:
            push(self.number(INTEGERS[op]))
        elif op in TEXTS:
            push(self.take(self.number(TEXTS[op])).decode("utf-8"))
        elif op in BYTES:
            push(self.take(self.number(BYTES[op])))
        elif op in GETS:
            push(self.memo[self.number(GETS[op])])
        elif op in PUTS:
            self.memo[self.number(PUTS[op])] = self.stack[-1]
        elif op == b"\x94":  # MEMOIZE
            self.memo[len(self.memo)] = self.stack[-1]
        elif op in TUPLES:
            count = TUPLES[op]
            if len(self.stack) < count:
                raise Refused("expected %d values for a tuple, got %d"
                              % (count, len(self.stack)))
            items = tuple(self.stack[-count:])
            del self.stack[-count:]
            push(items)
        elif op == b"(":
            self.marks.append(len(self.stack))
        elif op == b"t":
            push(tuple(self.since_mark()))
        elif op == b")":
            push(())
        elif op == b"]":
            push([])
        elif op == b"}":
            push({})
        elif op == b"\x8f":  # EMPTY_SET
            push([])
        elif op == b"l":
            push(self.since_mark())
        elif op == b"\x91":  # FROZENSET
            self.since_mark()
            push(Inert("set"))
        elif op == b"d":
            items = self.since_mark()
            push({})
            self.assign(items)
        elif op == b"a":
            self.extend([self.stack.pop()])
        elif op in (b"e", b"\x90"):
            self.extend(self.since_mark())
        elif op == b"s":
            value = self.stack.pop()
            self.assign([self.stack.pop(), value])
        elif op == b"u":
            self.assign(self.since_mark())
        elif op == b"c":
            self.refer(self.line(), self.line())
        elif op == b"\x93":  # STACK_GLOBAL
            name = self.stack.pop()
            self.refer(self.stack.pop(), name)
        elif op in (b"R", b"\x81", b"\x92"):  # REDUCE, NEWOBJ, NEWOBJ_EX
            if op == b"\x92":
                self.stack.pop()
            arguments = self.stack.pop()
            push(self.call(self.stack.pop(), arguments))
        elif op == b"b":  # BUILD: attributes, such as the versions in an OrderedDict
            self.stack.pop()
            if not isinstance(self.stack[-1], (dict, list, Inert, Tensor, Odd)):
                raise Refused("expected an object that takes attributes, got something else")
        elif op == b"Q":  # BINPERSID
            push(self.persistent(self.stack.pop()))
        elif op == b"G":
            push(self.number(">d"))
        elif op in LONGS:
            count = self.number(LONGS[op])
            if count > 256:
                raise Refused("an integer of %d bytes" % count)
            push(int.from_bytes(self.take(count), "little", signed=True))
        elif op in (b"I", b"L"):
            text = self.line()
            if len(text) > 100:
                raise Refused("an integer of %d digits" % len(text))
            push({"00": False, "01": True}[text] if text in ("00", "01")
                 else int(text.rstrip("L")))
        elif op == b"F":
            push(float(self.line()))
        elif op == b"V":
            text = self.line().encode("latin-1").decode("raw-unicode-escape")
            text.encode("utf-8")  # fails for half a pair of surrogates
            push(text)
        elif op == b"g":
            push(self.memo[self.line()])
        elif op == b"p":
            self.memo[self.line()] = self.stack[-1]
        elif op == b"0":
            self.stack.pop()
        elif op == b"1":
            self.since_mark()
        elif op == b"2":
            push(self.stack[-1])
        elif op == b"\x80":  # PROTO
            if self.number("<B") > 5:
                raise Refused("a pickle of an unknown protocol")
        elif op == b"\x95":  # FRAME
            self.take(8)
        else:
            raise Refused("the opcode 0x%02X, which no checkpoint has" % op[0])

    def extend(self, items):
        if type(self.stack[-1]) is list:
            self.stack[-1].extend(items)
        elif not isinstance(self.stack[-1], Inert):
            raise Refused("expected a list to add to, got something else")

    def assign(self, items):
        if len(items) % 2:
            raise Refused("expected a value for each key, got a key alone")
        if type(self.stack[-1]) is dict:
            self.stack[-1].update((key_of(items[i]), items[i + 1])
                                  for i in range(0, len(items), 2))
        elif not isinstance(self.stack[-1], Inert):
            raise Refused("expected a dictionary to put values into, got something else")

    def refer(self, module, name):
        full = MODULES.get(module, module) + "." + name
        kind, _, last = full.rpartition(".")
        known = (full in CONSTRUCTORS or full in INERT or full in self.inert
                 or kind in ("torch", "torch.storage") and (
                     last in DTYPES or last.removesuffix("Storage") in STORAGES
                     or last in ("UntypedStorage", "TypedStorage")))
        if not known:
            raise Refused("expected tensors and plain data, got %s, which was not called: save a "
                          "model's state_dict(), or leave such objects out by --inert"
                          % printable(full))
        self.stack.append(Global(full))

    def call(self, function, arguments):
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise Refused("expected a function and its arguments, got something else")
        # The same long list may be the argument of many calls.
        self.work -= len(arguments) + sum(len(a) for a in arguments if type(a) in (list, tuple))
        if self.work < 0:
            raise Refused("the arguments of its calls are larger than the file")
        if function.name in CONSTRUCTORS:
            return CONSTRUCTORS[function.name](*arguments)
        return Inert(function.name)
