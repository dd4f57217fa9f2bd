"""What was seen, from a note on each line of stdin, with onplan."""

import sys
from dataclasses import dataclass

import onplan


@dataclass
class Sighting:
    species: str
    count: int


with onplan.Client(model="gpt-5.5") as client:
    for result in client.map(sys.stdin, response_format=Sighting, on_limit="wait"):
        seen = result.response_or_raise().parsed
        print(seen.count, seen.species)
