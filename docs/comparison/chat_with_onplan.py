"""A chat, a line of stdin each time, that goes on where it was killed, with onplan."""

import sys

import onplan

with onplan.Client(model="gpt-5.5") as client:
    talk = client.conversation.open("talk.jsonl", system="Be brief.")
    if talk.awaits_answer:
        print(talk.resume().text)
    for said in sys.stdin:
        with talk.stream(said.strip()) as answer:
            for text in answer.text:
                print(text, end="", flush=True)
        print()
