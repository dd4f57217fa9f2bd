"""What is sent of a conversation that was compacted, and when it is: tables of values."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from onplan.errors import UnexpectedReplyError
from onplan.turn.compactor import (
    SUMMARISE,
    USER_BYTES,
    Compactor,
    Target,
    compaction_of,
    summary_of,
    target_of,
)
from onplan.turn.fallback import LARGEST_MESSAGE
from onplan.types import (
    APIKey,
    Compaction,
    CompletionResponse,
    File,
    FinishReason,
    Image,
    Message,
    ModelInfo,
    OAuthCredentials,
    Role,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
)

HERE = Target("me", "3000", 1_000)
S, D = Message.system("Be brief."), Message.developer("Now in verse.")
U, A = Message.user("hi"), Message.assistant("ho")
CALL = Message.assistant(ToolCall("c", "look", "{}"))
RESULT = Message.tool("c", "x")


def made(covers: int, **fields: Any) -> Compaction:
    return Compaction(
        **{"covers": covers, "encrypted": "sealed", "account": "me", "family": "3000", **fields}
    )


def of(*compactions: Compaction, at: float | None = None) -> Compactor:
    compactor = Compactor(at)
    for one in compactions:
        compactor.add(one)
    return compactor


def shown(messages: list[Message], *compactions: Compaction, target: Target = HERE) -> list[Message]:
    return of(*compactions).shown(messages, target)


def test_what_the_user_said_and_the_instructions_stand_before_the_compaction() -> None:
    """In their order; answers, calls and results are left out, and what is not covered follows."""
    tail = [U, A]
    sent = shown([S, U, CALL, RESULT, A, D, U, A, *tail], made(8))

    assert sent == [S, U, D, U, Message(Role.ASSISTANT, [made(8)]), *tail]  # type: ignore[list-item]


@pytest.mark.parametrize(
    "other",
    [made(9), made(2, account="you"), made(2, family="2911")],
    ids=["more than there is", "another account", "another family"],
)
def test_what_cannot_be_used_is_not_sent(other: Compaction) -> None:
    """The messages are."""
    assert shown([U, A, U], other) == [U, A, U]
    refused = of(made(2))
    refused.refuse(made(2))
    assert refused.shown([U, A, U], HERE) == [U, A, U]


def test_the_latest_that_can_be_read_is_used() -> None:
    """Also when models were changed in between."""
    mine, theirs = made(2), made(4, family="2911")
    for target, one in ((HERE, mine), (Target("me", "2911", None), theirs)):
        compactor = of(mine, theirs)
        assert compactor.latest(target) == one
    assert of(mine, made(4)).latest(HERE) == made(4)


def test_the_user_keeps_64000_tokens() -> None:
    """256,000 bytes: the newest first, and of the oldest that has any room the beginning."""
    image = Image(url="https://example.org/a.png")
    old, cut, new = (Message.user(letter * 200_000, image) for letter in "abc")
    sent = shown([S, old, A, cut, A, new, A], made(7))

    assert [message.text[:1] for message in sent] == ["B", "b", "c", ""]
    assert len(sent[1].text) == 256_000 - 200_000
    assert sent[2] == new
    exact = Message.user("c" * (USER_BYTES - 1))
    assert [message.text[:2] for message in shown([old, old, exact, A], made(4))] == ["a", "cc", ""]
    full = Message.user("c" * USER_BYTES)
    assert shown([old, full, A], made(3))[:-1] == [full]


def test_the_texts_of_a_message_share_what_is_left() -> None:
    """In their order."""
    pieces = Message.user("a" * 100_000, "b" * 100_000, "c" * 100_000)
    (sent, _) = shown([pieces, A], made(2))
    assert [len(part.text) for part in sent.content] == [100_000, 100_000, 56_000]  # type: ignore[union-attr]


def test_a_character_is_not_cut() -> None:
    """The size is in bytes of UTF-8."""
    (cut, _) = shown([Message.user("é" * USER_BYTES), A], made(2))
    assert cut.text == "é" * (USER_BYTES // 2)
    (odd, _) = shown([Message.user("a" + "é" * USER_BYTES), A], made(2))
    assert odd.text == "a" + "é" * (USER_BYTES // 2 - 1)
    (half, _) = shown([Message.user("\ud83d" * 10), A], made(2))
    assert half.text == "\ud83d" * 10


def test_images_and_files_stay_and_results_do_not() -> None:
    """Of each message of the user from which there is any text."""
    image, file = Image(url="https://example.org/a.png"), File(data=b"1")
    message = Message.user("Look", image, file, ToolResult("c", "x"))
    results = Message.user(ToolResult("c", "x"))
    assert shown([message, results, A], made(3))[:-1] == [Message.user("Look", image, file)]


@pytest.mark.parametrize(
    ("messages", "covers"),
    [
        ([], 0),
        ([S, U], 0),
        ([U, A], 2),
        ([A, U], 1),
        ([S, U, A, U], 3),
        ([U, A, U, U], 2),
        ([U, A, U, CALL], 3),
        ([U, A, U, CALL, RESULT], 3),
        ([U, CALL, RESULT, CALL, RESULT], 3),
        ([U, CALL, RESULT], 0),
        ([U, CALL, RESULT, A, U], 4),
    ],
)
def test_what_was_answered_is_covered(messages: list[Message], covers: int) -> None:
    """What the model has yet to answer is not, nor the calls whose results it has yet to see."""
    assert Compactor().covers(messages, HERE) == covers


def test_what_will_be_no_part_of_the_history_is_not_covered() -> None:
    """The answer that did not fit, and what the model was told of it."""
    compactor, wrong, told = Compactor(), Message.assistant("x"), Message.user("That does not fit.")
    compactor.length = 3
    assert compactor.covers([U, A, U, wrong, told], HERE) == 3
    compactor.length = 1
    assert compactor.covers([U, wrong, told], HERE) == 0


def test_nothing_new_is_nothing_to_compact() -> None:
    """Since the latest compaction that can be read."""
    assert of(made(2)).covers([U, A, U], HERE) == 0
    assert of(made(2)).covers([U, A, U, A], HERE) == 4
    assert of(made(2, family="2911")).covers([U, A, U], HERE) == 2


def test_it_is_due_at_its_share_of_the_window() -> None:
    """As the backend counted, with an estimate of what is new; or estimated as a whole."""
    history = [U, A]
    for total, said, due in (
        (700, "x", False),
        (800, "x", True),
        (700, "x" * 400, True),
        (0, "x" * 400, False),
    ):
        compactor = Compactor(0.8)
        compactor.answered([U], HERE, Usage(total_tokens=total))
        assert compactor.is_due([*history, Message.user(said)], HERE) is due, (total, len(said))
    long = [Message.user("x" * 3_000), Message.assistant("y" * 1_000), U]
    assert Compactor(0.8).is_due(long, HERE)
    assert not Compactor(None).is_due(long, HERE)
    assert not Compactor(0.8).is_due(long, Target("me", "3000", None))
    assert not Compactor(0.8).is_due(long[:1], HERE), "there is nothing to compact"


def test_what_cannot_be_compacted_is_not_due() -> None:
    """However large it is: there would be nothing to ask for."""
    compactor = of(made(2), at=0.8)
    compactor.answered([U], HERE, Usage(total_tokens=100))
    assert not compactor.is_due([U, A, Message.user("x" * 4_000)], HERE)
    assert compactor.is_due([U, A, U, A, Message.user("x" * 4_000)], HERE)


def test_a_turn_needs_nothing_of_it_without_a_choice_and_without_a_compaction() -> None:
    """Then nothing is looked up."""
    assert Compactor().is_idle
    assert not Compactor(0.8).is_idle
    assert not of(made(2)).is_idle
    assert not of(made(2), at=0.8).is_idle


def test_what_was_counted_before_something_was_undone_is_not_believed() -> None:
    """The conversation is shorter than what was counted."""
    compactor = Compactor(0.8)
    compactor.answered([U, A, U, A, U], HERE, Usage(total_tokens=900))
    assert not compactor.is_due([U, A, U], HERE)
    assert compactor.is_due([U, A, U, A, U, A, U], HERE)


def test_each_compaction_begins_the_growth_anew() -> None:
    """What counts is how large the conversation was after the latest one, and before the first nothing."""
    compactor, messages = Compactor(0.5), [U, A, U, A]
    compactor.answered(messages[:1], HERE, Usage(total_tokens=600))
    assert compactor.is_due([*messages, U], HERE)
    for covers, total in ((2, 600), (4, 550)):
        compactor.add(made(covers))
        compactor.answered([*messages, U], HERE, Usage(total_tokens=total))
        compactor.answered([*messages, U, A, U], HERE, Usage(total_tokens=total + 49))
        assert not compactor.is_due([*messages, U, A, U, A, Message.user("x" * 200)], HERE)
        compactor.answered([*messages, U, A, U], HERE, Usage(total_tokens=total + 101))
        messages = [*messages, U, A, U, A]
        assert compactor.is_due([*messages, U], HERE)


def test_every_kind_of_text_counts() -> None:
    """Calls, results in either form, and encrypted reasoning; no images."""
    parts = Message.assistant(ToolCall("c", "look", "x" * 1_000), Thinking("", "y" * 1_000))
    result = Message.tool("c", [Text("z" * 1_000), Image(data=b"1" * 100_000)])
    assert Compactor(0.8).is_due([U, parts, result, Message.assistant("a" * 300), U], HERE)
    assert not Compactor(0.9).is_due([U, parts, result, Message.assistant("a" * 300), U], HERE)


def test_what_cannot_be_encoded_counts_and_images_do_not() -> None:
    """Half a character is refused elsewhere; images are counted by the backend."""
    half = Message.assistant("\ud83d" * 1_600, ToolCall("c", "look", "\ud83d" * 1_600))
    assert Compactor(0.8).is_due([U, half, RESULT, A, U], HERE)
    images = Message.user(*[Image(url="https://example.org/a.png")] * 4_000)
    assert not Compactor(0.8).is_due([images, A, U], HERE)


def test_what_stays_large_is_not_compacted_in_every_turn() -> None:
    """A conversation has to grow by a tenth of the window after a compaction before the next one."""
    compactor, messages = of(made(2), at=0.5), [U, A]
    due = []
    for total in (600, 650, 690, 710):
        messages = [*messages, U]
        due.append(compactor.is_due([*messages, A, U], HERE))
        compactor.answered(messages, HERE, Usage(total_tokens=total))
        messages = [*messages, A]
    due.append(compactor.is_due([*messages, U], HERE))
    assert due == [False, False, False, False, True]


def test_a_count_of_other_messages_is_not_believed() -> None:
    """After a change of models, other messages are sent than were counted."""
    compactor = of(made(2), at=0.8)
    compactor.answered([U, A, U], HERE, Usage(total_tokens=300))
    compactor.answered([U, A, U, A, U], HERE, Usage(total_tokens=900))
    messages = [U, A, U, A, U, A, U]
    assert compactor.is_due(messages, HERE)
    assert not compactor.is_due(messages, Target("me", "2911", 1_000))


def test_a_summary_stands_for_all_but_the_instructions() -> None:
    """For every model and account. The roles alternate, whatever comes next."""
    summary = Compaction(4, summary="So far.")
    asked, told = Message.user(SUMMARISE), Message.assistant("So far.")
    history = [S, U, D, A]
    for target in (HERE, Target("you", "", None)):
        assert shown([*history, U], summary, target=target) == [S, D, asked, told, U]
    assert shown([*history, CALL, RESULT], summary) == [
        S,
        D,
        asked,
        told,
        Message.user("Go on."),
        CALL,
        RESULT,
    ]
    assert shown(history, summary) == [S, D, asked, told]
    assert shown(history[:3], summary) == history[:3]


def test_only_what_is_encrypted_may_be_refused() -> None:
    """The latest that can be read is a summary, or one of the backend's."""
    summary = Compaction(4, summary="So far.")
    assert of(made(2)).encrypted(HERE) == made(2)
    assert of(made(2), summary).encrypted(HERE) is None
    assert of(summary, made(6)).encrypted(HERE) == made(6)
    assert of(summary, made(6, family="2911")).latest(HERE) == summary
    assert of().encrypted(HERE) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", FinishReason.STOP), (" \n", FinishReason.STOP)]
    + [("So", reason) for reason in FinishReason if reason is not FinishReason.STOP],
)
def test_a_summary_is_a_whole_text(text: str, reason: FinishReason) -> None:
    """Else it is an error that says that nothing has changed."""
    response = CompletionResponse(Message.assistant(text), Usage(), reason, "m")
    with pytest.raises(UnexpectedReplyError, match="whole summary") as caught:
        summary_of(response, 2)
    assert "as it was" in caught.value.hint
    whole = CompletionResponse(Message.assistant("So far."), Usage(), FinishReason.STOP, "m")
    assert summary_of(whole, 2) == Compaction(2, summary="So far.")


@pytest.mark.parametrize(
    ("items", "reason", "words"),
    [
        ([], FinishReason.STOP, "sent 0 compactions"),
        ([{"encrypted_content": "a"}] * 2, FinishReason.STOP, "sent 2 compactions"),
        ([{}], FinishReason.STOP, "with nothing in it"),
        ([{"encrypted_content": ""}], FinishReason.STOP, "with nothing in it"),
        ([{"encrypted_content": {"a": 1}}], FinishReason.STOP, "with nothing in it"),
        ([{"encrypted_content": "a" * (1 + (16 << 20))}], FinishReason.STOP, "compaction of 16 MiB"),
        ([{"encrypted_content": "a"}], FinishReason.LENGTH, "broke off"),
        ([{"encrypted_content": "a"}], FinishReason.CONTENT_FILTER, "broke off"),
    ],
    ids=["none", "two", "no content", "empty", "an object", "huge", "cut off", "filtered"],
)
def test_exactly_one_whole_compaction_is_expected(items: Any, reason: FinishReason, words: str) -> None:
    """Else it is an error that says what came, and that nothing has changed."""
    with pytest.raises(UnexpectedReplyError, match=words) as caught:
        compaction_of(items, reason, 2, HERE)
    assert "as it was" in caught.value.hint


def test_an_id_of_another_form_is_left_out() -> None:
    """As the official client does. The largest that is taken is as large as a message of a WebSocket."""
    largest = "a" * LARGEST_MESSAGE
    assert compaction_of([{"encrypted_content": largest}], FinishReason.STOP, 2, HERE).encrypted == largest
    ids = {"cmp_1": "cmp_1", "c": None, 7: None, None: None}
    for given, kept in ids.items():
        item = {"id": given, "encrypted_content": "a"}
        assert compaction_of([item], FinishReason.STOP, 2, HERE) == made(2, encrypted="a", id=kept)


def test_the_target_is_the_account_and_the_family() -> None:
    """The account only as a digest; a model of no family is its own."""
    known = ModelInfo("m", "M", "p", context_window=9, compaction_family="3000")
    mine = OAuthCredentials(access_token="t", account_id="acct-1", email="a@example.com")
    other = OAuthCredentials(access_token="t", account_id="acct-2", email="a@example.com")
    nameless = OAuthCredentials(access_token="t", email="a@example.com")
    assert target_of(mine, "m", known).family == "3000"
    assert target_of(mine, "m", known).window == 9
    assert target_of(mine, "m", None) == Target(target_of(mine, "x", known).account, "m", None)
    damaged = OAuthCredentials(access_token="t", account_id="\ud83d")
    program, bare = OAuthCredentials(access_token="t", client_id="app"), OAuthCredentials(access_token="t")
    everyone = (mine, other, nameless, damaged, program, bare, APIKey("sk-x"))
    accounts = {target_of(one, "m", known).account for one in everyone}
    assert len(accounts) == len(everyone)
    assert target_of(bare, "m", known).account == sha256(b"").hexdigest()[:16]
    assert all(len(one) == 16 and "acct" not in one for one in accounts)
