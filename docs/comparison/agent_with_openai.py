"""An agent with three tools, with the openai SDK."""

import json

from openai import OpenAI, pydantic_function_tool
from pydantic import BaseModel
from trip import appointments, trains, weather

import onplan


class Weather(BaseModel):
    """The weather in a city."""

    city: str


class Appointments(BaseModel):
    """What is in the calendar on a day."""

    day: str


class Trains(BaseModel):
    """The next trains from one city to another."""

    origin: str
    destination: str


FUNCTIONS = {
    "weather": (weather, Weather),
    "appointments": (appointments, Appointments),
    "trains": (trains, Trains),
}

plan = onplan.Client()
client = OpenAI(api_key=lambda: plan.credentials().access_token)
tools = [pydantic_function_tool(model, name=name) for name, (_, model) in FUNCTIONS.items()]
history = [{"role": "user", "content": "Can I go from Oslo to Bergen tomorrow?"}]
while True:
    with client.responses.stream(
        model="gpt-5.5",
        instructions="",
        input=history,
        tools=tools,
        store=False,
        include=["reasoning.encrypted_content"],
    ) as stream:
        response = stream.get_final_response()
    calls = [item for item in response.output if item.type == "function_call"]
    if not calls:
        break
    history += response.output
    for call in calls:
        function, _ = FUNCTIONS[call.name]
        try:
            result = json.dumps(function(**call.parsed_arguments.model_dump()))
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": result})
print(response.output_text)
