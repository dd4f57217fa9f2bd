"""Run each adapter's tests in an environment of its framework, and print one table (`make frameworks`)."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests/frameworks"


@dataclass(frozen=True)
class Row:
    """An environment: requirements/frameworks/NAME.txt, and what of tests/frameworks is run in it."""

    name: str
    distribution: str  # its version is what the table shows
    tests: tuple[str, ...]


_DSPY = ("test_dspy.py", "test_dspy_arguments.py", "test_dspy_edits.py")
_HAYSTACK = ("test_haystack.py", "test_haystack_arguments.py", "test_haystack_edits.py")
_LANGCHAIN = (
    "test_langchain.py",
    "test_langchain_arguments.py",
    "test_langchain_edits.py",
    "test_langchain_failures.py",
    "test_langchain_lifetime.py",
    "test_langchain_messages.py",
    "test_langchain_output.py",
    "test_langchain_saving.py",
    "test_langchain_standard.py",
    "test_langchain_tools.py",
)
_LITELLM = ("test_litellm.py", "test_litellm_arguments.py")
_LLAMA_INDEX = ("test_llama_index.py", "test_llama_index_arguments.py", "test_llama_index_edits.py")
_LLM = (
    "test_llm.py",
    "test_llm_arguments.py",
    "test_llm_edits.py",
    "test_llm_plugin.py",
    "test_llm_python.py",
)
_OPENAI = ("test_openai.py", "test_openai_failures.py")

ROWS = {
    row.name: row
    for row in (
        Row("openai", "openai", _OPENAI),
        Row("openai-2", "openai", _OPENAI),
        Row("openai-2-httpx2", "openai", _OPENAI),
        Row("openai-oldest", "openai", _OPENAI),
        Row("agents", "openai-agents", ("test_agents.py",)),
        Row("agents-oldest", "openai-agents", ("test_agents.py",)),
        Row("pydantic-ai", "pydantic-ai-slim", ("test_pydantic_ai.py",)),
        Row("pydantic-ai-oldest", "pydantic-ai-slim", ("test_pydantic_ai.py",)),
        Row("instructor", "instructor", ("test_instructor.py",)),
        Row("instructor-oldest", "instructor", ("test_instructor.py",)),
        Row("smolagents", "smolagents", ("test_smolagents.py",)),
        Row("smolagents-oldest", "smolagents", ("test_smolagents.py",)),
        Row("langchain-openai", "langchain-openai", ("test_langchain_openai.py",)),
        Row("langchain-openai-oldest", "langchain-openai", ("test_langchain_openai.py",)),
        Row("agent-framework", "agent-framework-openai", ("test_agent_framework.py",)),
        Row("agent-framework-oldest", "agent-framework-openai", ("test_agent_framework.py",)),
        Row("agno", "agno", ("test_agno.py",)),
        Row("agno-oldest", "agno", ("test_agno.py",)),
        Row("dspy", "dspy", _DSPY),
        Row("dspy-oldest", "dspy", _DSPY),
        Row("haystack", "haystack-ai", _HAYSTACK),
        Row("haystack-oldest", "haystack-ai", _HAYSTACK),
        Row("litellm", "litellm", _LITELLM),
        Row("litellm-oldest", "litellm", _LITELLM),
        Row("litellm-proxy", "litellm", ("test_litellm_proxy.py",)),
        Row("litellm-smolagents", "smolagents", ("test_litellm_agents.py",)),
        Row("litellm-crewai", "crewai", ("test_litellm_agents.py",)),
        Row("llama-index", "llama-index-core", _LLAMA_INDEX),
        Row("llama-index-oldest", "llama-index-core", _LLAMA_INDEX),
        Row("langchain", "langchain-core", _LANGCHAIN),
        Row("langchain-oldest", "langchain-core", _LANGCHAIN),
        Row("langchain-agents", "langchain", ("test_langchain_agents.py",)),
        Row("mcp", "mcp", ("test_mcp.py",)),
        Row("mcp-1", "mcp", ("test_mcp.py",)),
        Row("llm", "llm", _LLM),
        Row("llm-oldest", "llm", _LLM),
    )
}


@dataclass(frozen=True)
class Result:
    """What came out of one environment.

    Attributes:
        problem: why there are no numbers, or more is wrong than they say; empty if nothing is.
        failures: the name of each failing test, with the first line of its reason.
        output: of pytest.
    """

    row: Row
    version: str = "-"
    passed: int = 0
    skipped: int = 0
    failed: int = 0
    seconds: float = 0.0
    problem: str = ""
    failures: tuple[str, ...] = ()
    output: str = ""

    @property
    def is_good(self) -> bool:
        """Whether all of its tests were run, and none failed."""
        return not self.problem and not self.failed


LONGEST = 1200  # seconds; after two minutes without an end pytest prints where each thread stands


def run(row: Row, environments: Path, longest: float = LONGEST) -> Result:
    """Run the tests of one row, if its environment is there."""
    python = environments / row.name / "bin/python"
    if not (environments / row.name / ".installed").exists():
        return Result(row, problem=f"not installed: make FRAMEWORKS={row.name} frameworks")
    asked = f"from importlib.metadata import version; print(version({row.distribution!r}))"
    found = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False)
    if found.returncode:
        return Result(row, problem=f"{row.distribution} is not in it: remove {python.parent.parent}")
    began, problem = time.monotonic(), ""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [python, "-m", "pytest", f"--junitxml={report}", *(TESTS / each for each in row.tests)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "ONPLAN_TESTS_OF_FRAMEWORKS": row.name}
        # Into a file, so that what was said before a hang is there.
        with Path(folder, "output").open("w+") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
            )
            try:
                process.wait(longest)
            except subprocess.TimeoutExpired:
                problem = f"hung: ended after {longest:.0f} s"
                os.killpg(process.pid, signal.SIGKILL)  # with what the tests have started
                process.wait()
            output.seek(0)
            said = output.read()
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []
    failures = tuple(_failure(case) for case in cases if _reason(case) is not None)
    skipped = sum(case.find("skipped") is not None for case in cases)
    if process.returncode and not failures:
        problem = problem or f"pytest ended with {process.returncode}"
    return Result(
        row,
        found.stdout.strip(),
        passed=len(cases) - len(failures) - skipped,
        skipped=skipped,
        failed=len(failures),
        seconds=time.monotonic() - began,
        problem=problem,
        failures=failures,
        output=said,
    )


def _reason(case: ElementTree.Element) -> ElementTree.Element | None:
    found = case.find("failure")
    return case.find("error") if found is None else found


def _failure(case: ElementTree.Element) -> str:
    reason = _reason(case)
    said = (reason.get("message") if reason is not None else "") or ""
    return f"{case.get('classname')}::{case.get('name')}: {said.strip().partition(chr(10))[0]}"


def table(results: list[Result]) -> str:
    """Framework, environment, version, cases, passed, skipped, seconds."""
    lines = [("framework", "environment", "version", "cases", "passed", "skipped", "seconds", "")]
    for each in results:
        cases = each.passed + each.skipped + each.failed
        counts = (cases, each.passed, each.skipped, round(each.seconds))
        row = (each.row.distribution, each.row.name, each.version, *counts)
        outcome = "ok" if each.is_good else each.problem or f"{each.failed} FAILED"
        lines.append((*map(str, row), outcome))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main() -> None:
    """Two environments at a time; exit status 1 if a test failed, or one could not be run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="environments; all of them if none is named")
    parser.add_argument("--environments", type=Path, default=Path(sys.prefix, "frameworks"))
    given = parser.parse_args()
    unknown = sorted(set(given.names) - ROWS.keys())
    if unknown:
        parser.error(f"no such environment: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    with ThreadPoolExecutor(2) as pool:
        rows = [ROWS[name] for name in given.names or ROWS]
        results = list(pool.map(lambda row: run(row, given.environments), rows))
    for result in results:
        if not result.is_good and result.output:
            print(f"==== {result.row.name} ====\n{result.output}")
    print(table(results))
    for result in results:
        for failure in result.failures:
            print(f"{result.row.name}: {failure}")
    sys.exit(not all(result.is_good for result in results))


if __name__ == "__main__":
    main()
