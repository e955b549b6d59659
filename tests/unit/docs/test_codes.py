"""Every code by which a value is refused is explained."""

from __future__ import annotations

import re

from tests.unit.docs.documents import ROOT

CODE = re.compile(r'"((?:invalid|unknown|too|repeated)_[a-z_]+|required)"')


def test_every_code_of_a_wrong_value_is_explained() -> None:
    found = {code for path in (ROOT / "auditlog/api").rglob("*.py") for code in CODE.findall(path.read_text())}
    assert {"too_deep", "invalid_sort", "required", "unknown_member"} <= found
    reference = (ROOT / "docs/reference/audit-api.md").read_text()
    assert [code for code in sorted(found) if f"`{code}`" not in reference] == []
