"""What models of the tests answer with and call: a class, a function that works, and one that fails."""

from __future__ import annotations

from pydantic import BaseModel


class Bird(BaseModel):
    """A bird."""

    name: str
    wingspan: int


def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def divide(number: int) -> float:
    """Divide by zero."""
    return number / 0
