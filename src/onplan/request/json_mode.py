"""Makes a conversation fit for ``response_format={"type": "json_object"}``.

Servers refuse that unless the word JSON occurs in the messages ("'messages' must contain the word 'json' in
some form", the platform in both APIs): without it models may write white space without end.
"""

from __future__ import annotations

from onplan.request.history import History
from onplan.types import Message, Text

ASKED = "Answer with a JSON object."
REPAIR = f"No message named JSON, which the backend demands; one was put in front: {ASKED}"


def with_the_word(history: History) -> History:
    """``history`` with the word JSON in it, in a message in front if it is in none."""
    texts = (part.text for message in history.messages for part in message.content if isinstance(part, Text))
    if any("json" in text.lower() for text in texts):
        return history
    return History([Message.developer(ASKED), *history.messages], (*history.repairs, REPAIR))
