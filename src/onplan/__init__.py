"""Run your own Python programs on the ChatGPT plan you already pay for.

::

    import onplan

    client = onplan.Client()
    print(client.complete("Name three birds").text)

Importing this loads nothing else; each name is fetched when it is first used.
"""

from __future__ import annotations

from onplan._version import __version__ as __version__

_MODULES = {
    "assembly": "AsyncClientOptions ClientOptions ProviderOptions",
    "async_client": "AsyncClient",
    "batches.schedule": "MapResult",
    "client": "Client",
    "conversation.conversations_async": "AsyncConversation AsyncConversations",
    "conversation.saved_file": "ConversationFileWarning",
    "conversation.conversations": "Conversation Conversations",
    "errors": (
        "BackendError BlockedError BudgetError CertificateError ConfigurationError ConnectError "
        "ContentPolicyError ContextLengthError ConversationFileError CredentialError DisconnectError "
        "EncryptedReasoningError "
        "IdleTimeoutError InvalidImageError InvalidRequestError LimitError MissingExtraError "
        "ModelNotAvailableError "
        "NotIncludedError NotSignedInError OnplanError OutputError OutputRefusedError OutputTruncatedError "
        "RefreshOutcomeUnknownError OverloadedError RunLimitError "
        "PlanNotPermittedError ProxyError RateLimitError RefreshError ServerError SignInAgainError "
        "SignInError StoreConflictError "
        "StoreDamagedError StoreError StreamCorruptError StreamError StreamFailedError "
        "StreamTruncatedError TotalTimeoutError TransportError UnexpectedReplyError UsageLimitError"
    ),
    "images.images": "AsyncImages Images",
    "images.response": "GeneratedImage ImageResponse",
    "images.settings": "ImageOptions ImageSettings",
    "plan.forecast": "Forecast forecast",
    "providers": "OpenAICodexProvider",
    "tools.function": "CustomFunctionTool FunctionTool tool",
    "tools.mcp": "mcp_tools",
    "tools.options": "AsyncRunOptions RunOptions",
    "tools.record": "Run RunChunk RunDone RunResponse Step ToolDone ToolRun TurnDone",
    "tools.results": "ToolError",
    "turn.retry": "RetryPolicy",
    "streams": "AsyncCompletionStream CompletionStream",
    "telemetry.options": "Telemetry",
    "token_estimate": "estimate_tokens",
    "transports.base": "Timeouts",
    "search.reply": "SearchResponse SearchResult",
    "search.request": "SearchOptions",
    "search.searches": "Search",
    "search.searches_async": "AsyncSearch",
    "stores": "CredentialStore Lease PendingRefresh Record open_store",
    "types": (
        "Citation CompletionRequest CompletionResponse ContentPart Credits CustomTool Done File "
        "FinishReason Grammar HostedTool HostedToolCall Image Limits Message MessageLike Meter "
        "ModelInfo OAuthCredentials PartDone Prompt Provider Refusal Registration RequestDefaults "
        "RequestFields Resumed Role Location SearchAction SpendingLimit StreamChunk "
        "Text TextDelta Thinking ThinkingDelta Tool ToolCall ToolCallDelta ToolCallEnd ToolCallStart "
        "ToolChoice ToolDefinition ToolResult Usage Window as_request web_search"
    ),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted([*_HOMES, "__version__"])  # noqa: PLE0605 - one table for both


def __getattr__(name: str) -> object:
    """Fetch a public name from its module, once."""
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module 'onplan' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"onplan.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Every public name, also those that were not used yet."""
    return sorted(__all__)
