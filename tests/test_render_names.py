"""Tables print any name as text: no markup, no terminal escape, no formula, no additional row."""

import csv
import io
import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from deepgen_bench.report.tables.render import Cell, Table, to_csv, to_latex, to_markdown, to_text
from deepgen_bench.runtime.errors import printable

hostile = st.sampled_from(
    [
        *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "&lt;b&gt;", "a|b", "a\nb", "a\r\n| c |"),
        *("[click](http://example.org)", "![x](y)", "[a][b]", "`code`", "**bold**", "__x__", "~~s~~", "$x^2$", "# 1"),
        *("\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\u202eevil", "\x00", "\x7f", "\\input{/etc/passwd}", "\\", "\\\\"),
        *("%", "a & b", "#1", "{", "}", "^", "~", "[x]", "*", "—", "=1+1", "=cmd|'/C calc'!A0", "@SUM(A1)", "\t=1"),
        *("+x", "-x", "-1.5", "+0.2"),
    ]
)
names = hostile | st.text(min_size=1, max_size=20) | st.builds("{}{}".format, st.text(max_size=4), hostile)


def table(name, emphasis=""):
    return Table(
        "t", name, ["model", name], [[Cell("first", emphasis), Cell(name)], [Cell(name, emphasis), Cell("1")]], [name]
    )


def examples(test):
    for text in ("[x]", "*", "a\nb", "\\|", "<b>", "&amp;", "=1", " ", "\\`"):
        test = example(text)(test)
    return settings(max_examples=200, deadline=None)(given(names)(test))


@examples
def test_markdown_shows_every_name_as_text(name):
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(to_markdown(table(name)))
    kinds = {child.type for token in tokens for child in token.children or []}
    assert kinds <= {"text", "text_special"}
    shown = ["".join(child.content for child in token.children) for token in tokens if token.type == "inline"]
    expected = printable(name).strip(" ")
    heading, cells, note = shown[0], shown[1:7], shown[7:]
    assert [re.sub(" +$", "", cell) for cell in cells] == ["model", expected, "first", expected, expected, "1"]
    assert heading == expected or heading.rstrip("# ") == expected.rstrip("# ")
    assert len(note) <= 1


@examples
def test_latex_has_no_command_but_its_own(name):
    text = to_latex(table(name, "bold"))
    body = text[text.index(r"\caption") : text.index(r"\end{minipage}")]
    commands = (
        r"\\(caption|label|begin|end|toprule|midrule|bottomrule|medskip|shortstack|textbf|par|linewidth|footnotesize)"
    )
    commands += r"(?![A-Za-z])(\[r\])?|\\\\(\{\})?"
    # a line break followed by {}, which would be read as an escaped brace
    body = body.replace(r"\\{}", "")
    body = re.sub(r"\\text(backslash|asciitilde|asciicircum)\{\}|\\[&%$#_{}]", "", body)
    body = re.sub(r"\$(\\(uparrow|downarrow|pm|infty|le|ge)|<|>|-)\$", "", body)
    assert "\\" not in re.sub(commands, "", body)
    assert not set("%$#^~") & set(body)
    assert not re.search(r"\\\\\s*[\[*]", body)
    assert body.count("{") == body.count("}")


@examples
def test_the_terminal_gets_printable_lines(name):
    text = to_text(table(name))
    assert all(line.isprintable() for line in text.split("\n"))
    assert len(text.split("\n\n")) == 3 and len(text.split("\n\n")[1].split("\n")) == 3


@examples
def test_csv_has_one_row_for_each_and_no_formula(name):
    rows = list(csv.reader(io.StringIO(to_csv(table(name)))))
    assert [len(row) for row in rows] == [2, 2, 2]
    for text in (rows[0][1], rows[1][1], rows[2][0]):
        assert text.removeprefix("'") == printable(name).removeprefix("'")
        assert text.isprintable() and not re.match(r"[=@\t\r]|[+-](?![\d.])", text)
