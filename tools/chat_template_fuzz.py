#!/usr/bin/env python3
"""Random small templates, rendered by jinja2 as transformers configures it and by us.

    tools/chat_template_fuzz.py --driver build/cpu/bin/chat_template_driver [--cases 20000] [--seed 1]

Equal means the same text, or an error from both.
"""
import argparse
import random
import sys
import warnings

from chat_template_oracle import Driver

VARIABLES = {
    "n": None, "t": True, "f": False, "i": 7, "z": 0, "m": -3, "x": 2.5, "big": 123456789012,
    "s": "Hello World", "e": "", "u": "héllo 世界 🙂", "sp": "  two  words \n", "num": " 42 ",
    "l": [3, 1, 2], "el": [], "ls": ["b", "A", "c", "a"], "ll": [[1, 2], [3, 4]],
    "d": {"a": 1, "b": [1, 2], "c": {"x": "y"}}, "ed": {},
    "msgs": [{"role": "user", "content": "q", "k": 2}, {"role": "assistant", "content": "r", "k": 1},
             {"role": "tool", "content": ""}],
}
NAMES = list(VARIABLES) + ["missing"]
LITERALS = ["0", "1", "2", "-1", "1.5", "10", "'a'", "''", "'l'", "' '", "'é'", "true", "none", "[]", "{}",
            "(1, 2)", "()", "[1, 'a']", "{'k': 1, 2: 'v'}", "1e3", "0x1f", "1_000"]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "and", "or", "==", "!=", "<", "<=", ">", ">=", "in",
          "not in"]
FILTERS = ["upper", "lower", "title", "capitalize", "trim", "trim('H d')", "length", "count", "list",
           "first", "last", "reverse|list", "sort", "sort(reverse=true)", "unique|list", "sum", "min", "max",
           "join", "join(', ')", "join('-', attribute='role')", "int", "int(5)", "float", "string", "abs",
           "round", "round(1)", "round(1, 'ceil')", "default('D')", "default('D', true)", "d", "tojson",
           "tojson(indent=2)", "tojson(ensure_ascii=true)", "tojson(sort_keys=true)",
           "tojson(separators=(',', ':'))", "replace('l', 'L')", "replace('', '-')", "replace('o','0',1)",
           "indent", "indent(2, true)", "indent(width=1, blank=true)", "escape", "e", "safe", "forceescape",
           "center(20)", "truncate(8)", "truncate(5, true, '')", "wordcount", "urlencode", "batch(2)|list",
           "batch(2, 'x')|list", "slice(2)|list", "slice(2, 'x')|list", "dictsort", "dictsort(true, 'value')",
           "items|list", "map('upper')|list", "map(attribute='role')|list",
           "map(attribute='k', default=0)|list", "select|list", "select('odd')|list", "reject('none')|list",
           "selectattr('role', 'equalto', 'user')|list", "rejectattr('k', 'undefined')|list",
           "selectattr('k')|map(attribute='role')|list", "groupby('role')", "groupby('role')|map('first')|list",
           "filesizeformat", "striptags", "attr('upper')", "format('z', 1)"]
TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence", "boolean",
         "true", "false", "integer", "float", "odd", "even", "divisibleby(3)", "eq(1)", "ne(1)", "lt(5)",
         "gt 1", "ge(2)", "le 2", "in [1, 'a', 7]", "sameas none", "callable", "upper", "lower", "escaped"]
METHODS = ["upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "lstrip()", "rstrip('d')",
           "strip('H d')", "split()", "split('l')", "split(' ', 1)", "rsplit(' ', 1)", "rsplit()",
           "splitlines()", "startswith('H')", "endswith('d')", "startswith(('x', 'H'))", "find('o')",
           "rfind('o')", "index('o')", "count('l')", "replace('l', 'x')", "replace('l', 'x', 1)", "join(ls)",
           "format(1, k=2)", "isdigit()", "isalpha()", "isupper()", "islower()", "isspace()", "isalnum()",
           "partition(' ')", "rpartition(' ')", "removeprefix('He')", "removesuffix('ld')", "ljust(14, '.')",
           "rjust(14)", "center(15)", "zfill(13)", "items()|list", "keys()|list", "values()|list", "get('a')",
           "get('zz', 4)", "append(1)", "pop()", "update({})", "copy()", "nope", "nope()", "a", "b[0]", "c.x",
           "istitle()", "expandtabs()", "casefold()", "items()", "keys()", "is_integer()",
           "bit_length()"]
SUBSCRIPTS = ["[0]", "[-1]", "[99]", "['a']", "['role']", "[1:]", "[:-1]", "[::-1]", "[1:3]", "[::2]",
              "[-2:]", "[5:1:-1]", "['x':]", "[none]", "[true]", "[i]", "[1.5]", ".role", ".0", "[:99:3]"]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def expression(self, depth):
        pick = self.random.random()
        if depth <= 0 or pick < 0.2:
            return self.random.choice(NAMES if self.random.random() < 0.7 else LITERALS)
        inner = self.expression(depth - 1)
        if pick < 0.4:
            return f"({inner} {self.random.choice(BINARY)} {self.expression(depth - 1)})"
        if pick < 0.6:
            return f"{self.wrapped(inner)}|{self.random.choice(FILTERS)}"
        if pick < 0.68:
            return f"({self.wrapped(inner)} is {self.random.choice(['', 'not '])}{self.random.choice(TESTS)})"
        if pick < 0.8:
            return f"{self.wrapped(inner)}.{self.random.choice(METHODS)}"
        if pick < 0.9:
            # jinja2 folds a slice of a constant, and then hides its TypeError
            return f"{self.random.choice(NAMES)}{self.random.choice(SUBSCRIPTS)}"
        if pick < 0.93:
            return f"({inner} if {self.expression(depth - 1)} else {self.expression(depth - 1)})"
        if pick < 0.95:
            return f"({inner} if {self.expression(depth - 1)})"
        if pick < 0.97:
            return f"(not {inner})"
        return f"'%s %5d|%-6s|%.2f' % ({inner}, 3, 'ab', 1.5)"

    def wrapped(self, text):
        return text if text.isidentifier() else f"({text})"

    def block(self, depth):
        e = self.expression
        a, b = self.random.choice(["", "-", "+"]), self.random.choice(["", "-"])
        body = self.body(depth - 1) if depth > 0 else "."
        choice = self.random.randrange(17)
        if choice < 4:
            return f"{{{{{b} {e(2)} {b}}}}}"
        if choice == 4:
            return f"{{%{a} if {e(2)} {b}%}}{body}{{%{a} else %}}E{{%{a} endif {b}%}}"
        if choice == 5:
            return f"{{% for v in {e(1)} %}}{{{{ loop.index }}}}{{{{ v }}}}{body}{{% else %}}none{{% endfor %}}"
        if choice == 6:
            return (f"{{% for v in {e(1)} if {self.random.choice(['v', 'v is string', 'loop', 'v != 1'])} %}}"
                    f"{{{{ loop.last }}}}{{{{ loop.length }}}}{{{{ loop.previtem }}}}{{{{ loop.nextitem }}}};"
                    "{% if loop.index > 2 %}{% break %}{% endif %}{% endfor %}")
        if choice == 7:
            return f"{{% set {self.random.choice('isvx')} = {e(2)} {b}%}}"
        if choice == 8:
            return "{% set v %}" + body + "{% endset %}{{ v|length }}"
        if choice == 9:
            return ("{% macro g(a, b=2) %}[{{ a }},{{ b }}{{ kwargs }}{{ varargs }}]{% endmacro %}"
                    f"{{{{ g({e(1)}, {self.random.choice(['', 'b=3', '4', 'c=5', '4, 5', '*l', '**d'])}) }}}}")
        if choice == 10:
            return (f"{{% set ns = namespace(k=0, o={e(1)}) %}}{{% for w in l %}}"
                    "{% set ns.k = ns.k + w %}{% endfor %}{{ ns.k }}{{ ns.o }}")
        if choice == 11:
            return f"{{% with q = {e(1)} %}}{{{{ q }}}}{body}{{% endwith %}}{{{{ q }}}}"
        if choice == 12:
            return ("{% macro w(a) %}<{{ caller(a) }}>{% endmacro %}{% call(z) w(" + e(1) +
                    ") %}{{ z }}!{% endcall %}")
        if choice == 13:
            return f"{{% filter {self.random.choice(['upper', 'trim|length', 'indent(2)'])} %}}{body}{{% endfilter %}}"
        if choice == 14:
            return "{%" + a + " raw %}{{ x }}{% if %}{%" + a + " endraw " + b + "%}"
        if choice == 15:
            return "{#" + a + " note " + b + "#}"
        return ("{% for a, b in " + self.random.choice(["d.items()", "ll", "d|dictsort", "msgs", "zip"]) +
                " %}{{ a }}={{ b }}{{ ',' if not loop.last }}{% endfor %}")

    def body(self, depth):
        text = ""
        for _ in range(self.random.randrange(1, 4)):
            text += self.random.choice(["", " ", "\n", "  \n  ", "text", "\n\t", "a b"]) + self.block(depth)
        return text + self.random.choice(["", "\n", " end", "\n\n"])


def jinja_environment():
    from transformers.utils.chat_template_utils import _compile_jinja_template
    return lambda source: _compile_jinja_template(source)


def deterministic(text):
    return text is None or (not any(
        part in text for part in (" at 0x", "generator object", "Markup(", "<built-in")))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--cases", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)
    driver, generator, compile_template = Driver(arguments.driver), Generator(arguments.seed), jinja_environment()
    counts = {"equal": 0, "both fail": 0, "differ": 0, "skipped": 0}
    for _ in range(arguments.cases):
        source = generator.body(2)
        try:
            text, error = compile_template(source).render(**VARIABLES), None
        except Exception as problem:  # whatever a template does wrong
            text, error = None, f"{type(problem).__name__}: {problem}"
        answer = driver.ask({"template": source, "variables": VARIABLES})
        makes_set = "does not work between 'dict_" in answer.get("error", "")  # not among our types
        if makes_set or not deterministic(text) or (error or "").startswith(("Overflow", "MemoryError")):
            counts["skipped"] += 1
        elif text is None and "error" in answer:
            counts["both fail"] += 1
        elif text is not None and answer.get("text") == text:
            counts["equal"] += 1
        else:
            counts["differ"] += 1
            if counts["differ"] <= arguments.show:
                print(f"--- {source!r}\nexpected: {text!r} {error}\ngot:      {answer}", file=sys.stderr)
    print(f"{arguments.cases} templates: {counts}")
    sys.exit(counts["differ"] > 0)


if __name__ == "__main__":
    main()
