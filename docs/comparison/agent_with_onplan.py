"""An agent with three tools, with onplan."""

from trip import appointments, trains, weather

import onplan

with onplan.Client(model="gpt-5.5") as client:
    answer = client.run("Can I go from Oslo to Bergen tomorrow?", tools=[weather, appointments, trains])
    print(answer.text)
