"""Run each adapter's tests in an environment of its framework, and print one table (`make frameworks`)."""

from __future__ import annotations

import argparse
import os
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


_OPENAI = ("test_openai.py", "test_openai_failures.py")
_LANGCHAIN = (
    "test_langchain.py",
    "test_langchain_edits.py",
    "test_langchain_failures.py",
    "test_langchain_lifetime.py",
    "test_langchain_messages.py",
    "test_langchain_output.py",
    "test_langchain_saving.py",
    "test_langchain_standard.py",
    "test_langchain_tools.py",
)
_LLM = ("test_llm.py", "test_llm_edits.py", "test_llm_plugin.py", "test_llm_python.py")

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
        Row("agno", "agno", ("test_agno.py",)),
        Row("dspy", "dspy", ("test_dspy.py", "test_dspy_edits.py")),
        Row("dspy-oldest", "dspy", ("test_dspy.py", "test_dspy_edits.py")),
        Row("haystack", "haystack-ai", ("test_haystack.py", "test_haystack_edits.py")),
        Row("haystack-oldest", "haystack-ai", ("test_haystack.py", "test_haystack_edits.py")),
        Row("litellm", "litellm", ("test_litellm.py",)),
        Row("litellm-oldest", "litellm", ("test_litellm.py",)),
        Row("litellm-proxy", "litellm", ("test_litellm_proxy.py",)),
        Row("litellm-smolagents", "smolagents", ("test_litellm_agents.py",)),
        Row("litellm-crewai", "crewai", ("test_litellm_agents.py",)),
        Row("llama-index", "llama-index-core", ("test_llama_index.py", "test_llama_index_edits.py")),
        Row("llama-index-oldest", "llama-index-core", ("test_llama_index.py", "test_llama_index_edits.py")),
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
    """What came out of one environment."""

    row: Row
    version: str
    passed: int
    skipped: int
    failed: int
    seconds: float
    output: str


def run(row: Row, environments: Path) -> Result:
    """Run the tests of one row; its output is shown only where something failed."""
    python = environments / row.name / "bin/python"
    asked = f"from importlib.metadata import version; print(version({row.distribution!r}))"
    version = subprocess.run([python, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        command = [python, "-m", "pytest", f"--junitxml={report}", *(TESTS / each for each in row.tests)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "ONPLAN_TESTS_OF_FRAMEWORKS": row.name}
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=1200, check=False
        )
        counts = _counts(report)
    failed = counts["failures"] + counts["errors"] or (1 if done.returncode else 0)
    passed = counts["tests"] - counts["failures"] - counts["errors"] - counts["skipped"]
    seconds = time.monotonic() - began
    return Result(row, version, passed, counts["skipped"], failed, seconds, done.stdout + done.stderr)


def _counts(report: Path) -> dict[str, int]:
    names = ("tests", "failures", "errors", "skipped")
    if not report.exists():
        return dict.fromkeys(names, 0)
    suites = ElementTree.parse(report).getroot().iter("testsuite")  # a file that we have just had written
    totals = dict.fromkeys(names, 0)
    for suite in suites:
        for name in names:
            totals[name] += int(suite.get(name, 0))
    return totals


def table(results: list[Result]) -> str:
    """Framework, environment, version, cases, passed, skipped, seconds."""
    lines = [("framework", "environment", "version", "cases", "passed", "skipped", "seconds", "")]
    for each in results:
        cases = each.passed + each.skipped + each.failed
        counts = (cases, each.passed, each.skipped, round(each.seconds))
        row = (each.row.distribution, each.row.name, each.version, *counts)
        lines.append((*map(str, row), "FAILED" if each.failed else "ok"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def main() -> None:
    """Two environments at a time; exit status 1 if a test failed."""
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
        if result.failed:
            print(f"==== {result.row.name} ====\n{result.output}")
    print(table(results))
    sys.exit(any(result.failed for result in results))


if __name__ == "__main__":
    main()
