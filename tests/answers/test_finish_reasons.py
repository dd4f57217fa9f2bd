"""The words of many servers for the end of an answer."""

from __future__ import annotations

import pytest

from onplan.answers.finish_reasons import Finish, finish_of
from onplan.types import FinishReason

WORDS = {
    FinishReason.STOP: """
        stop STOP eos eos_token EOS end_turn endTurn stop_sequence COMPLETE completed done
        finished <|eot_id|> <|im_end|> <|end|> </s> FINISH_REASON_STOP FinishReason.STOP
        end_of_turn success eot ok
        """,
    FinishReason.LENGTH: """
        length LENGTH max_tokens MAX_TOKENS maxTokens max_output_tokens max_completion_tokens
        model_length model_context_window_exceeded context_length_exceeded token_limit
        time_limit incomplete length_limit truncated FINISH_REASON_MAX_TOKENS max-tokens
        max_tool_calls
        """,
    FinishReason.TOOL_CALLS: """
        tool_calls tool_call tool_use function_call function_calls toolUse TOOL_CALL
        """,
    FinishReason.CONTENT_FILTER: """
        content_filter SAFETY refusal recitation PROHIBITED_CONTENT blocklist spii image_safety
        content_filtered guardrail_intervened sensitive LANGUAGE IMAGE_PROHIBITED_CONTENT
        moderation content_policy_violation refused blocked
        """,
    None: """
        error network_error abort aborted cancelled USER_CANCEL insufficient_system_resource
        malformed_function_call MALFORMED_RESPONSE UNEXPECTED_TOOL_CALL
        MISSING_THOUGHT_SIGNATURE timeout time_out ERROR_TOXIC ERROR_LIMIT too_many_tool_calls
        OTHER server_overloaded rate_limit_exceeded failed malformed_model_output interrupted
        upstream_disconnected tooManyToolCalls IMAGE_OTHER NO_IMAGE
        """,
}


@pytest.mark.parametrize(
    ("word", "reason"), [(word, reason) for reason, words in WORDS.items() for word in words.split()]
)
def test_a_word_says_why_the_answer_ended(word, reason):
    """Each server's word is one of five, however it is spelt."""
    found = finish_of(word)
    assert found == Finish(reason)
    assert found.is_known


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("content_filter: PROHIBITED_CONTENT", FinishReason.CONTENT_FILTER),
        ("stop sequence", FinishReason.STOP),
        ("max tokens", FinishReason.LENGTH),
        ("rate limit", None),
        ("rate-limit.", None),
    ],
)
def test_several_words_say_it_as_well(sentence, reason):
    """Words with blanks or colons between them are read like one."""
    assert Finish(reason) == finish_of(sentence)


@pytest.mark.parametrize(
    "word",
    [
        "",
        " ",
        "null",
        "None",
        "NULL",
        "nil",
        "unfinished",
        "in progress",
        "not_finished",
        "notFinished",
        "FINISH_REASON_UNSPECIFIED",
        "in_progress",
        "inProgress",
        "pending",
        "queued",
        "running",
    ],
)
def test_some_words_say_that_the_answer_goes_on(word):
    """What stands for no word is none."""
    assert finish_of(word) is None


@pytest.mark.parametrize("word", ["moonrise", "pause_turn", "repetition", "unknown"])
def test_a_word_that_is_not_known_is_no_failure(word):
    """It counts as the end of a whole answer, and is marked."""
    assert Finish(FinishReason.STOP, is_known=False) == finish_of(word)
