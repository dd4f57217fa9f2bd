"""The functions that the agents are given; one of them fails."""


def weather(city: str) -> str:
    """The weather in a city."""
    return f"3 degrees and rain in {city}"


def appointments(day: str) -> list[str]:
    """What is in the calendar on a day."""
    return ["9:00 dentist", "15:00 Ada"]


def trains(origin: str, destination: str) -> list[str]:
    """The next trains from one city to another."""
    raise ConnectionError("the timetable does not answer")
