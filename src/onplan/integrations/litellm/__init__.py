"""LiteLLM on your plan: a provider for models named ``onplan/…``, in programs and in LiteLLM's proxy.

>>> import litellm
>>> from onplan.integrations.litellm import register
>>> register()
>>> litellm.completion("onplan/gpt-5.5", [{"role": "user", "content": "Name a bird"}])  # doctest: +SKIP

The proxy takes ``onplan.integrations.litellm.handler`` in its ``custom_provider_map``. Needs the package
``litellm``; docs/integrations/litellm.md has the versions that were tried.
"""

from importlib.metadata import PackageNotFoundError, version

from onplan.errors import ConfigurationError
from onplan.integrations.missing import MissingFrameworkError

_OLDEST = (1, 98)


def _require_litellm() -> None:
    try:
        installed = version("litellm")
    except PackageNotFoundError:
        raise MissingFrameworkError("LiteLLM", "litellm") from None
    if tuple(int(part) for part in installed.split(".")[:2] if part.isdecimal()) < _OLDEST:
        raise ConfigurationError(
            f"LiteLLM {installed} asks OpenAI's API for models of OpenAI's names, whatever was registered.",
            hint="Install a newer one: `pip install -U litellm`.",
        )


_require_litellm()

from onplan.integrations.litellm.provider import Onplan, handler, register  # noqa: E402 - which import LiteLLM

__all__ = ["Onplan", "handler", "register"]
