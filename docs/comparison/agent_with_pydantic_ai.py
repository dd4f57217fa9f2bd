"""An agent with three tools, with pydantic-ai."""

from pydantic_ai import Agent, ToolFailed
from pydantic_ai.capabilities import Hooks
from trip import appointments, trains, weather

hooks = Hooks()


@hooks.on.tool_execute_error
async def tell_the_model(ctx, *, call, tool_def, args, error):
    raise ToolFailed(f"{type(error).__name__}: {error}")


agent = Agent("openai-codex:gpt-5.5", tools=[weather, appointments, trains], capabilities=[hooks])
print(agent.run_sync("Can I go from Oslo to Bergen tomorrow?").output)
