"""The credential that the proofs of tests/keeper are about, for those that need more than Python."""

from ..keeper.conftest import expire, refreshes, sign_in, spec

__all__ = ["expire", "refreshes", "sign_in", "spec"]
