"""What was seen, from a note on each line of stdin, with the openai SDK."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from openai import OpenAI, RateLimitError
from pydantic import BaseModel

import onplan


class Sighting(BaseModel):
    species: str
    count: int


plan = onplan.Client()
client = OpenAI(api_key=lambda: plan.credentials().access_token)


def extract(note: str) -> Sighting:
    while True:
        try:
            with client.responses.stream(
                model="gpt-5.5",
                instructions="",
                input=[{"role": "user", "content": note}],
                text_format=Sighting,
                store=False,
            ) as stream:
                return stream.get_final_response().output_parsed
        except RateLimitError as error:
            if error.type != "usage_limit_reached":
                raise
            time.sleep(max(0, error.body["resets_at"] - time.time()) + 1)


with ThreadPoolExecutor(8) as threads:
    for seen in threads.map(extract, sys.stdin):
        print(seen.count, seen.species)
