"""The tree keeps its own rules, and the rules catch what they are for."""

import pathlib

import pytest
import tree_rules

TOP = pathlib.Path(__file__).resolve().parents[2]


def test_tree_keeps_its_rules():
    found = tree_rules.faults(TOP)
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    "name, text, words",
    [
        ("userspace/zsync/core/a.cpp", "#include <zsync/bus/bus.hpp>\n", "core must not include zsync/bus/"),
        ("userspace/zsync/bus/a.cpp", "#include <zsync/packet/filter.hpp>\n", "bus must not include zsync/packet/"),
        ("userspace/zsyncctl/a.cpp", "#include <zsync/packet/filter.hpp>\n", "zsyncctl must not include"),
        ("userspace/zsync/odd/a.cpp", "int a;\n", "has no tier"),
        ("userspace/zsync/core/a.cpp", "// TO" "DO later\n", "unfinished"),
        ("docs/a.md", "see /wo" "rk/main\n", "a path of one developer's machine"),
        ("scripts/a.sh", "curl ftp.deb" "ian.org\n", "registry"),
        ("userspace/zsync/core/a.cpp", "int a;\n" * 701, "701 lines"),
    ],
)
def test_rule_catches(tmp_path, name, text, words):
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text(text)
    found = [fault for fault in tree_rules.faults(tmp_path) if "README" not in fault]
    assert len(found) == 1 and words in found[0], found


def test_rules_let_a_distributions_documents_be_named(tmp_path):
    (tmp_path / "copyright").write_text("Format: https://www.deb" "ian.org/doc/\n")
    assert tree_rules.faults(tmp_path) == []


def test_rules_let_lower_tiers_be_included(tmp_path):
    path = tmp_path / "userspace/zsync/packet/a.cpp"
    path.parent.mkdir(parents=True)
    path.write_text("#include <zsync/core/task.hpp>\n#include <zsync/packet/b.hpp>\n")
    (path.parent / "README.md").write_text("# packet\n")
    assert tree_rules.faults(tmp_path) == []
