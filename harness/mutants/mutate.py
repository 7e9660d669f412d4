#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""
	mutate.py COUNT list FILE...
	mutate.py COUNT write DIR FILE...

Makes small wrong versions of C files by rule, the first COUNT of them in an
order that depends only on their text. "list" prints a line for each: NUMBER,
KEY, the new text. "write" writes the files to DIR with all of the mutants in
them: the boot option hmm_mutant=NUMBER chooses the one that is run.

Rules:
	not	a condition is negated
	drop	a statement is left out
	order	< and <=, > and >= are exchanged
	logic	&& and || are exchanged
	one	a constant of 1 is left out, or a sum has one more
	zero	an error becomes success, true becomes false, and back
	minmax	min and max are exchanged
	lock	the locks of a function are not taken
	barrier	a barrier is left out
"""

import hashlib
import os
import re
import sys

# Statements that do nothing but report, or that this kernel compiles to nothing
SKIPPED = re.compile(r"(trace_|lockdep_|mmap_assert_|might_|KUNIT_|cond_resched|hmm_verify\(|"
                     r"hmm_might_wait|WARN_ONCE|VM_WARN|BUILD_BUG|EXPORT_|"
                     r"lock_map_|return$|break$|continue$|goto )")
DECLARATION = re.compile(
    r"(const|struct|unsigned|signed|int|bool|long|char|void|static|enum|union|"
    r"u8|u16|u32|u64|s64|\w+_t|LIST_HEAD|"
    r"DECLARE_\w+|DEFINE_\w+)\b[^=;(]*[ *]\w+(\[[^]]*\])*\s*(=|;|,)|LIST_HEAD\(")
LOCK = re.compile(r"((raw_)?spin_(un)?lock\w*|rcu_read_(un)?lock|"
                  r"(down|up)_(read|write))\(")
HEADS = re.compile(r"(\} )?(else )?(if|while) \(")
LOOP = re.compile(r"for \(")


def blank(text):
    """Returns the text with comments and strings blanked, same length."""
    def spaces(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(\\.|[^"\\\n])*"', spaces, text,
                  flags=re.S)


def closing(code, at):
    """Returns the index of the parenthesis that closes the one at code[at]."""
    depth = 0
    for i in range(at, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if not depth:
            return i
    raise ValueError("unbalanced")


def functions(code):
    """Yields (name, start, end) of each function's body."""
    for match in re.finditer(r"^\{\n", code, re.M):
        head = code[:match.start()].rstrip()
        start = head.rfind("(")
        depth = 0
        for i in range(len(head) - 1, -1, -1):
            depth += (head[i] == ")") - (head[i] == "(")
            if not depth:
                start = i
                break
        name = re.search(r"(\w+)\s*$", head[:start])
        end = code.find("\n}", match.end())
        if name and end > 0:
            yield name.group(1), match.end(), end


def changes(code, start, end):
    """Yields (rule, text) for the changed versions of an expression."""
    text = code[start:end]

    def put(at, length, new):
        return text[:at] + new + text[at + length:]

    for m in re.finditer(r"(?<![-<>=])(<=|>=|<|>)(?![<>=])", text):
        new = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[m.group(1)]
        yield "order", put(m.start(), len(m.group(1)), new)
    for m in re.finditer(r"&&|\|\|", text):
        yield "logic", put(m.start(), 2, "||" if m.group(0) == "&&" else "&&")
    for m in re.finditer(r" ([+-]) 1\b", text):
        yield "one", put(m.start(), len(m.group(0)), "")
        yield "one", put(m.start(), len(m.group(0)), " %s 2" % m.group(1))
    for m in re.finditer(r"\b(true|false)\b", text):
        yield "zero", put(m.start(), len(m.group(0)),
                          "false" if m.group(0) == "true" else "true")
    for m in re.finditer(r"(?<![\w.])-E[A-Z]+\b", text):
        yield "zero", put(m.start(), len(m.group(0)), "0")
    for m in re.finditer(r"\b(min|max)(_t)?\(", text):
        yield "minmax", put(m.start(), 3,
                            "max" if m.group(1) == "min" else "min")
    for m in re.finditer(r"\bsmp_(store_release|load_acquire)\(&", text):
        yield "barrier", put(m.start(), len(m.group(0)),
                             "WRITE_ONCE(" if "store" in m.group(0) else
                             "READ_ONCE(")


class Mutant:
    """One wrong version: places [(start, end, kind, new text)] of a file."""

    def __init__(self, path, func, rule, old, new, places):
        self.path, self.func, self.rule = path, func, rule
        self.places = places
        squeeze = lambda s: re.sub(r"\s+", " ", s).strip()
        self.what = "%s => %s" % (squeeze(old), squeeze(new))
        self.key = ":".join((os.path.basename(path), func, rule, self.what))

    def rank(self):
        return hashlib.sha256(self.key.encode()).hexdigest()


def expressions(path, func, text, code, start, end, kind):
    """The mutants of the expression or statement in [start, end)."""
    done = set()
    # The changes are found in the code without strings, and made in the text
    for (rule, new), (_, real) in zip(changes(code, start, end),
                                      changes_in(text, code, start, end)):
        if new in done:
            continue
        done.add(new)
        yield Mutant(path, func, rule, text[start:end], real,
                     [(start, end, kind, real)])


def changes_in(text, code, start, end):
    """As changes(), with the strings of the text."""
    for rule, new in changes(code, start, end):
        old = code[start:end]
        head = 0
        while head < min(len(old), len(new)) and old[head] == new[head]:
            head += 1
        tail = 0
        while tail < min(len(old), len(new)) - head and \
                old[-1 - tail] == new[-1 - tail]:
            tail += 1
        middle = new[head:len(new) - tail]
        yield rule, text[start:start + head] + middle + text[end - tail:end]


def statements(code, start, end):
    """Yields (kind, start, end) of conditions and simple statements."""
    i = start
    while i < end:
        line_end = code.find("\n", i)
        line = code[i:line_end]
        at = i + len(line) - len(line.lstrip())
        rest = code[at:line_end]
        head = HEADS.match(rest)
        if head:
            open_ = at + head.end() - 1
            close = closing(code, open_)
            yield ("while" if "while" in head.group(0) else "if",
                   open_ + 1, close)
            i = code.find("\n", close) + 1
        elif LOOP.match(rest):
            open_ = at + rest.index("(")
            close = closing(code, open_)
            parts = code[open_ + 1:close].split(";")
            first = open_ + 1 + len(parts[0]) + 1
            yield "while", first, first + len(parts[1])
            i = code.find("\n", close) + 1
        elif re.match(r"[\w*(+-]", rest) and not re.match(r"\w+:|case |do\b|"
                                                          r"else|switch",
                                                          rest):
            stop = at
            while code[stop] not in ";{" or (code[stop] == "{" and
                                              re.search(r"=|return",
                                                        code[at:stop])):
                if code[stop] in "({":
                    stop = closing(code, stop)
                stop += 1
            if code[stop] == ";":
                yield ("statement", at, stop + 1)
                i = code.find("\n", stop) + 1
            else:
                i = line_end + 1
        else:
            i = line_end + 1


def mutants(path):
    """All mutants of a file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    code = blank(text)
    for func, start, end in functions(code):
        locks = []
        for kind, a, b in statements(code, start, end):
            old = text[a:b]
            if kind == "if":
                yield Mutant(path, func, "not", old, "!(%s)" % old,
                             [(a, b, "condition", "!(%s)" % old)])
            if kind in ("if", "while"):
                if not re.match(r"WARN|VM_WARN|KUNIT", old):
                    yield from expressions(path, func, text, code, a, b,
                                           "condition")
                continue
            if DECLARATION.match(code[a:b]) or SKIPPED.match(code[a:b - 1]):
                continue
            if LOCK.match(old):
                locks.append((a, b, "statement", ";"))
                continue
            if not old.startswith("return"):
                yield Mutant(path, func, "drop", old, ";",
                             [(a, b, "statement", ";")])
            yield from expressions(path, func, text, code, a, b, "statement")
        if locks:
            yield Mutant(path, func, "lock", "%d locks" % len(locks), "none",
                         locks)


def chosen(paths, count):
    everything, seen = [], {}
    for path in paths:
        for mutant in mutants(path):
            # The same change twice in a function
            n = seen[mutant.key] = seen.get(mutant.key, 0) + 1
            if n > 1:
                mutant.key += " (%d)" % n
            everything.append(mutant)
    everything.sort(key=Mutant.rank)
    return everything[:count], len(everything)


def rewritten(path, list_):
    """The text of the file with its mutants, [(number, mutant)]."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    places = {}
    for number, mutant in list_:
        for start, end, kind, new in mutant.places:
            places.setdefault((start, end, kind), []).append((number, new))
    for (start, end, kind), news in sorted(places.items(), reverse=True):
        old = text[start:end]
        if kind == "condition":
            for number, new in news:
                old = "hmm_mutant == %d ? (%s) : (%s)" % (number, new, old)
        else:
            for number, new in news:
                old = "if (hmm_mutant == %d) { %s } else { %s }" % (
                    number, new, old)
            old = "{ %s }" % old
        text = text[:start] + old + text[end:]
    return "extern unsigned int hmm_mutant;\n" + text


OPTION = """
#include <linux/init.h>
#include <linux/kernel.h>
unsigned int hmm_mutant;

static int __init hmm_mutant_setup(char *text)
{
	return kstrtouint(text, 0, &hmm_mutant);
}
early_param("hmm_mutant", hmm_mutant_setup);
"""


def main():
    count, verb = int(sys.argv[1]), sys.argv[2]
    paths = sys.argv[3:] if verb == "list" else sys.argv[4:]
    list_, total = chosen(paths, count)
    numbered = list(enumerate(list_, 1))
    if verb == "list":
        for number, mutant in numbered:
            print("%d\t%s" % (number, mutant.key))
        print("%d of %d mutants" % (len(list_), total), file=sys.stderr)
        return
    for path in paths:
        own = [(n, m) for n, m in numbered if m.path == path]
        text = rewritten(path, own)
        if os.path.basename(path) == "hmm.c":
            text += OPTION
        with open(os.path.join(sys.argv[3], os.path.basename(path)), "w",
                  encoding="utf-8") as file:
            file.write(text)


main()
