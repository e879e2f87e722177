"""Golden cases for the model tests.

    @pytest.mark.golden("flow")                     # one test per folder of this kind: fixture golden_case
    def test_flow(golden_case, golden_record): ...

    @pytest.mark.golden("speechlm-generate")        # one test per <run>.safetensors: fixture golden_run
    def test_generate(golden_run, golden_record): ...

Cases come from `--golden DIR` (default tests/golden), so no test may know the name, size or seed of a case.
`golden_record("mel", error, limit)` notes the error in the table that `--golden-table` prints, and fails above
the limit.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.models.golden_cases import find_cases

GoldenRecord = Callable[[str, float, float], None]
_TABLE = pytest.StashKey[list[tuple[str, str, float, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "golden(kind): run once for each golden case (golden_case) or run (golden_run)")
    config.stash[_TABLE] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("golden")
    if marker is None:
        return
    cases = [case for case in find_cases(metafunc.config.getoption("--golden")) if case.kind == marker.args[0]]
    if "golden_run" in metafunc.fixturenames:
        runs = [run for case in cases for run in case.runs]
        metafunc.parametrize("golden_run", runs, ids=[run.id for run in runs])
    else:
        metafunc.parametrize("golden_case", cases, ids=[case.name for case in cases])


@pytest.fixture
def golden_record(request: pytest.FixtureRequest) -> GoldenRecord:
    """`record(what, error, limit)`: notes the error (tokens: the number that differ, limit 0) and asserts the limit."""
    table = request.config.stash[_TABLE]
    golden = request.node.callspec.params
    case = golden["golden_run"].id if "golden_run" in golden else golden["golden_case"].name

    def record(what: str, error: float, limit: float) -> None:
        table.append((case, what, error, limit))
        assert error <= limit, f"{case}: {what} is off by {error:.3g}, allowed {limit:.3g}"

    return record


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = config.stash.get(_TABLE, [])
    if not (config.getoption("--golden-table") and table):
        return
    terminalreporter.section("golden cases: largest error")
    width = max(len(f"{case} {what}") for case, what, _, _ in table)
    for case, what, error, limit in sorted(table):
        terminalreporter.write_line(f"{f'{case} {what}':<{width}}  {error:.2e}  (limit {limit:.0e})")
