"""Papers in LaTeX: verbatim text, files and how they belong together, macros, encodings."""

import gzip
import io
import re
import tarfile

import pytest
from sources_reading import read

from corpuskit.sources.latex import document_text, read_paper

CLASS = "\\documentclass{article}\n"
PROSE = (
    "We consider the wave equation on a bounded domain and show that its energy decays.\n"
    "The proof rests on an observability estimate for the adjoint problem near the boundary.\n"
)
OTHER = (
    "Beetles of this genus were collected in two valleys over four summers by volunteers.\n"
    "Counts rose with the temperature of the soil and fell after each of the late frosts.\n"
)


def document(body, preamble=""):
    return f"{CLASS}{preamble}\\begin{{document}}\n{body}\n\\end{{document}}\n"


def body(text, preamble=""):
    return document_text({"m.tex": document(text, preamble)})


def packed(**files):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".tex")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(inner.getvalue(), mtime=0)


def papers(folder, **members):
    with tarfile.open(folder / "p.tar", "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(f"0704/{name}.gz")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return read("arxiv", folder / "p.tar")


@pytest.mark.parametrize(
    "text",
    [
        "\\begin{verbatim}\nx = 5 % 2\n% kept\n\n\n\n  \\R \\input{other}\n\\end{verbatim}",
        "\\begin{Verbatim}[frame=single]\na % b\n\\end{Verbatim}",
        '\\begin{lstlisting}[language=C]\nprintf("%d\\n", n % 3);\n\\end{lstlisting}',
        "\\begin{minted}{python}\n'%s' % \\R\n\\end{minted}",
        "\\begin{alltt}\n100 % \\R\n\\end{alltt}",
        "\\begin{verbatim*}\n%\n\\end{verbatim*}",
        "\\begin{verbatim}\n\\begin{comment}\nshown\n\\end{comment}\n\\end{verbatim}",
        "\\begin{verbatim}\n\\begin{thebibliography}{9} \\bibliography{x}\n\\end{document}\n\\end{verbatim}",
        "\\verb|a % b| and \\verb*+%+, \\lstinline!i % 2!, \\lstinline[style=x]{i % {2}}, \\mintinline{c}{i % 2}.",
        "\\url{http://a.org/x%20y_{1}} and \\href{http://a.org/%7Ejoe}{the page} and \\path{C:\\R\\%TMP%}.",
    ],
)
def test_verbatim_text_is_kept_to_the_letter(text):
    other = {"other.tex": "INPUT"}
    found = document_text({"m.tex": document(f"Before.\n{text}\nAfter.", "\\newcommand{\\R}{REAL}"), **other})
    assert found == f"Before.\n{text}\nAfter."


def test_verbatim_environments_of_the_papers_own_are_known_even_from_another_file():
    files = {
        "m.tex": document(
            "\\begin{code}\n1 % 2\n\\end{code}\n\\begin{pythoncode}\n3 % 4\n\\end{pythoncode}", "\\input{p}"
        ),
        "p.tex": "\\lstnewenvironment{code}{}{}\n\\newminted{python}{}",
    }
    assert document_text(files).count("%") == 2


def test_comments_go():
    text = "a\\% b % c\n  % whole line\nx \\\\% after a break\n\\begin{comment}\ngone\n\\end{comment}\n"
    text += "% \\begin{verbatim}\ny\n\\\\verb|no%verb\n\\url{http://a.org/%\nb}"
    assert body(text) == "a\\% b \nx \\\\\n\ny\n\\\\verb|no\n\\url{http://a.org/\nb}"


def test_verbatim_pieces_survive_macros_and_stand_once_for_each_use():
    assert (
        body("\\twice{\\verb|%|} \\one\\verb|x|", "\\def\\twice#1{#1#1}\\def\\one#1{<#1>}")
        == "\\verb|%|\\verb|%| <\\verb|x|>"
    )
    assert body("a\x00b \x003\x00 \\verb|c|") == "ab 3 \\verb|c|"


def test_files_are_joined_by_every_command_and_looked_for_where_latex_does():
    files = {
        "paper/main.tex": document(
            "\\input{sec/a}\\import{part/}{one}\\subimport{part/}{two.tex}\\include{sec/b}\\@input{c}\n"
            "\\InputIfFileExists{d}{YES }{NO}\\InputIfFileExists{none}{YES}{NO} \\input sec/e \n"
            '\\subfile{deep/s}\\input{"f g"}\\includegraphics{sec/b}'
        ),
        "paper/sec/a.tex": "A1 \\input{sec/a2} ",
        "paper/sec/a2.tex": "A2",
        "a2.tex": "WRONG",
        "paper/part/one.tex": "ONE \\input{sub}\\subimport{x}{deep} ",
        "paper/part/sub.tex": "SUB ",
        "paper/part/x/deep.tex": "DEEP",
        "paper/part/two.tex": "TWO ",
        "paper/sec/b.tex": "B ",
        "paper/c.tex": "C",
        "paper/d.tex": "D ",
        "paper/sec/e.tex": "E",
        "paper/deep/s.tex": "\\documentclass[../main.tex]{subfiles}\\begin{document}S \\input{t}\\end{document}junk",
        "paper/deep/t.tex": "T ",
        "paper/f g.tex": "F",
    }
    paper = read_paper(files)
    assert paper.text == (
        "A1 A2 ONE SUB DEEP TWO B C\nYES D NO E \nS T F\\includegraphics{sec/b}".replace("E \n", "E \n")
    )
    assert len(paper.files) == len(files) - 1
    assert paper.left_out == ("a2.tex (no text of its own, 5 characters)",)


def test_of_files_that_input_each_other_the_one_with_the_class_is_the_main_file():
    assert document_text({"m.tex": document("M \\input{a}"), "a.tex": "A \\input{m}", "x.tex": "\\def\\y{z}"}) == "M A"


def test_text_that_nobody_inputs_follows_by_name_with_the_macros_of_the_main_file():
    files = {
        "main.tex": document("Start.", "\\newcommand{\\R}{\\mathbb{R}}"),
        "ch10.tex": f"\\section{{Ten}} $\\R$\n{OTHER}",
        "ch2.tex": f"\\section{{Two}}\n{PROSE}",
        "macros.tex": "\\newcommand{\\x}{y}\n"
        + "".join(f"\\def\\a{one}{{some words of a macro}}\n" for one in "abcdefgh"),
        "fig.tex": f"\\begin{{tikzpicture}}\\node {{{PROSE}}};\\end{{tikzpicture}}",
        "refs.tex": f"\\begin{{thebibliography}}{{9}}{PROSE}\\end{{thebibliography}}",
        "notes.txt": PROSE,
    }
    paper = read_paper(files)
    assert paper.text == f"Start.\n\n\\section{{Two}}\n{PROSE}\n\\section{{Ten}} $\\mathbb{{R}}$\n{OTHER}".strip()
    assert paper.files == ("main.tex", "ch2.tex", "ch10.tex")
    assert [one.split(", ")[0] for one in paper.left_out] == [
        "fig.tex (no text of its own",
        "macros.tex (no text of its own",
        "notes.txt (no TeX",
        "refs.tex (no text of its own",
    ]
    assert paper.left_out[2].endswith(f", {len(PROSE)} characters)")


def test_a_folder_of_chapters_without_a_main_file_stands_by_name():
    files = {f"ch{n}.tex": f"\\chapter{{C{n}}}\n" + f"Sentence {n} of chapter {n}, as long as its number says.\n" * n
             for n in (10, 2, 3)}  # fmt: skip
    assert re.findall(r"C\d+", document_text(files)) == ["C2", "C3", "C10"]


def test_a_supplement_follows_with_its_own_macros_and_other_versions_are_left_out():
    supplement = document(f"\\x\n{OTHER}\\input{{more}}", "\\newcommand{\\x}{SUPPLEMENT}")
    files = {
        "paper.tex": document(f"\\x\n{PROSE * 3}", "\\newcommand{\\x}{PAPER}"),
        "paper_v1.tex": document(f"An old first line.\n{PROSE}"),
        "supp.tex": supplement,
        "supp-copy.tex": supplement.replace("\\input{more}", ""),
        "more.tex": "Data are available.",
    }
    paper = read_paper(files)
    assert paper.text == f"PAPER\n{PROSE * 3}\nSUPPLEMENT\n{OTHER}Data are available."
    assert set(paper.files) == {"paper.tex", "supp.tex", "more.tex"}
    assert [one.split(",")[0] for one in paper.left_out] == [
        "paper_v1.tex (another version of the text",
        "supp-copy.tex (another version of the text",
    ]


def test_what_is_about_the_paper_and_what_is_cut_is_left_out_and_said():
    files = {
        "main.tex": document(f"{PROSE}\n% \\input{{cut}}"),
        "cut.tex": OTHER,
        "response.tex": document(f"Dear Editor, we thank the Reviewer.\n{OTHER * 9}\\input{{answers}}"),
        "answers.tex": OTHER.upper(),
        "diff.tex": document("\\DIFaddbegin " + OTHER * 9),
        "fig.tex": OTHER.join(["\\documentclass[tikz]{standalone}\\begin{document}", "\\end{document}"]),
    }
    paper = read_paper(files)
    assert paper.text == PROSE.strip()
    assert [one.split(",")[0] for one in paper.left_out] == [
        "answers.tex (letter",
        "cut.tex (commented out",
        "diff.tex (marked differences",
        "fig.tex (picture",
        "response.tex (letter",
    ]
    frequency = {"main.tex": files["main.tex"], "response.tex": f"\\section{{Response}}\n{OTHER}"}
    assert read_paper(frequency).files == ("main.tex", "response.tex")


def test_macros_with_optional_arguments_take_their_default():
    preamble = (
        "\\newcommand{\\norm}[2][2]{\\|#2\\|_{#1}} \\newcommand\\opt[1][{a]}]{<#1>} \\newcommand{\\bf}[1]{\\mathbf#1}"
    )
    text = "\\norm{x} \\norm[\\infty]{x} \\norm [p] y \\opt \\opt[{]}] \\norm[ \\bf{x}"
    expected = "\\|x\\|_{2} \\|x\\|_{\\infty} \\|y\\|_{p} <{a]}> <{]}> \\|[\\|_{2} \\mathbf x"
    assert body(text, preamble) == expected


def test_what_only_tex_can_expand_stays():
    preamble = (
        "\\newcommand{\\a}{\\@ifnextchar[{\\b}{\\c}}\\newcommand{\\d}{\\ifmmode x\\else y\\fi}"
        "\\newcommand{\\e}{$\\iff$}"
        "\\renewcommand{\\section}{\\huge}\\def\\f[#1]{#1}\\let\\g=\\e\\newenvironment{env}{\\begin{it}}{\\end{it}}"
        "\\newcommand{\\ie}{i.e.\\xspace}\\newcommand{\\ct}{\\mathchoice{a}{b}{c}{d}}"
    )
    text = "\\a \\d{} \\e, \\section{S} \\f[x] \\g \\\\e \\ie (so) \\ie, so \\ct"
    assert body(text, preamble) == "\\a \\d{} $\\iff$, \\section{S} \\f[x] \\g \\\\e i.e. (so) i.e., so \\ct"


@pytest.mark.parametrize(
    ("name", "encoding", "word"),
    [("latin1", "latin-1", "née"), ("latin2", "latin2", "Łódź"), ("koi8-r", "koi8-r", "мир"), ("cp850", "cp850", "née"),
     ("applemac", "mac-roman", "née"), ("latin9", "iso8859-15", "cœur"), ("ansinew", "cp1252", "“née”"),
     ("cp1251", "cp1251", "мир"), ("utf8", "utf-8", "Łódź")],
)  # fmt: skip
def test_the_declared_encoding_counts_for_all_files_of_a_paper(tmp_path, name, encoding, word):
    main = document(f"{word} \\input{{a}}", f"% \\usepackage[cp1257]{{inputenc}}\n \\usepackage[{name}]{{inputenc}}\n")
    single = main.replace("\\input{a}", word)
    found = papers(
        tmp_path,
        one=packed(a=word.encode(encoding), main=main.encode(encoding)),
        two=gzip.compress(single.encode(encoding)),
        three=gzip.compress(single.replace("usepackage", "RequirePackage").encode(encoding)),
        four=gzip.compress(re.sub(r" \\usepackage.*", rf"\\inputencoding{{{name}}}", single).encode(encoding)),
    )
    assert found.texts == [f"{word} {word}"] * 4


def test_a_paper_is_one_document_that_says_what_it_left_out(tmp_path):
    found = papers(
        tmp_path,
        one=packed(main=document(PROSE).encode(), old__main=document(PROSE).encode(), supp=document(OTHER).encode()),
        two=gzip.compress(document(PROSE).encode()),
    )
    one, two = found.documents
    length = len(document(PROSE))
    assert one == {
        "text": f"{PROSE}\n{OTHER}".strip(),
        "arxiv_id": "one",
        "files": 2,
        "left_out": f"old/main.tex (another version of the text, {length} characters)",
    }
    assert (two["files"], two["left_out"]) == (1, None)


def test_every_file_is_in_the_text_or_named(shared):
    for paper in read("arxiv", shared / "arxiv/arXiv_src_dev_001.tar").documents[:3]:
        names = re.findall(r"(?:^|; )(\S+) \(", paper["left_out"])
        assert paper["files"] > 20
        assert len(names) == len(set(names)) == paper["left_out"].count(" characters)")
        assert "\\@ifnextchar" not in paper["text"]


OPENED = "\\documentclass{a}\\begin{document}"


@pytest.mark.parametrize(
    "files",
    [
        {"m.tex": OPENED + "%\n" * 300_000},
        {"m.tex": OPENED + "{" * 100_000 + "\\newcommand\\a{" * 30_000},
        {"m.tex": OPENED + "\\newcommand\\a[1][x]{#1}" + "\\a[{" * 50_000},
        {"m.tex": OPENED + "\\def\\a#1#2{#1}" + "\\a{" * 50_000},
        {"m.tex": OPENED + "\\begin{verbatim}" * 50_000 + "\\begin{comment}" * 50_000},
        {"m.tex": OPENED + "\\url{" * 100_000 + "\\lstinline[" * 50_000 + "\\href[" * 50_000},
        {"m.tex": OPENED + "".join(f"\\verb{chr(0x4E00 + n)}" for n in range(20_000))},
        {"m.tex": OPENED + "\\InputIfFileExists{a}{" * 20_000, "a.tex": "x"},
        {f"f{n}.tex": "".join(f"\\input{{f{m}}}" for m in range(100)) for n in range(100)},
        {f"f{n}.tex": f"some words\\input{{f{n + 1}}}" for n in range(3000)},
    ],
    ids=["comments", "braces", "brackets", "arguments", "environments", "addresses", "verb", "branches", "cycle",
         "chain"],
)  # fmt: skip
def test_hostile_files_take_time_in_proportion(files):
    text = document_text(files)
    assert len(text) < 4 * sum(map(len, files.values())) + 200_000
