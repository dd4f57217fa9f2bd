// Runs OpenAI's SDK for Node as it is: OPENAI_BASE_URL and OPENAI_API_KEY alone lead it to the server.

import OpenAI, { toFile } from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";
import { zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

import { arm, control, report, step } from "./steps.mjs";

const model = "gpt-5.5";
const client = new OpenAI({ timeout: 20_000 });
const messages = [{ role: "user", content: "hi" }];
const Bird = z.object({ name: z.string(), wings: z.number().int() });
const parameters = {
  type: "object",
  properties: { species: { type: "string" } },
  required: ["species"],
  additionalProperties: false,
};
const tools = ["count", "locate"].map((name) => ({ type: "function", name, parameters, strict: true }));
const chatTools = ["count", "locate"].map((name) => ({
  type: "function",
  function: { name, parameters, strict: true },
}));

/** Of an error what programs look at. */
async function refusal(work) {
  try {
    await work();
  } catch (error) {
    return [error.constructor.name, error.status, error.code, Boolean(error.requestID)];
  }
  return "no error";
}

async function collect(stream) {
  const found = [];
  for await (const one of stream) found.push(one);
  return found;
}

const usage = (counts) =>
  counts.prompt_tokens === undefined
    ? [
        counts.input_tokens,
        counts.output_tokens,
        counts.output_tokens_details.reasoning_tokens,
        counts.total_tokens,
      ]
    : [
        counts.prompt_tokens,
        counts.completion_tokens,
        counts.completion_tokens_details.reasoning_tokens,
        counts.total_tokens,
      ];
const callsOf = (response) => response.output.filter((item) => item.type === "function_call");
const outputs = (calls) =>
  calls.map((call) => ({
    type: "function_call_output",
    call_id: call.call_id,
    output: `seven ${call.name}`,
  }));

await step("responses.create", async () => {
  const said = await client.responses.create({ model, input: "hi", instructions: "Be brief." });
  return [said.output_text, said.status, said.model, said.instructions, usage(said.usage)];
});
await step("responses.create, streaming", async () => {
  const events = await collect(await client.responses.create({ model, input: "hi", stream: true }));
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  const last = events.at(-1);
  return [
    deltas.map((event) => event.delta).join(""),
    deltas.length > 1,
    events.every((event, number) => event.sequence_number === number),
    [events[0].type, last.type, last.response.output.at(-1).content[0].text, usage(last.response.usage)],
  ];
});
await step("responses.stream", async () => {
  const stream = client.responses.stream({ model, input: "hi" });
  const kinds = (await collect(stream)).map((event) => event.type);
  const final = await stream.finalResponse();
  return [final.output_text, final.status, kinds.at(-1), usage(final.usage)];
});
await step("responses.parse", async () => {
  const text = { format: zodTextFormat(Bird, "bird") };
  return (await client.responses.parse({ model, input: "A bird?", text })).output_parsed;
});
await step("responses, tools and previous_response_id", async () => {
  const asked = await client.responses.create({ model, input: "How many?", tools });
  const calls = callsOf(asked);
  const said = await client.responses.create({
    model,
    input: outputs(calls),
    tools,
    previous_response_id: asked.id,
  });
  return [calls.map((call) => [call.name, call.arguments, call.status]), said.output_text];
});
await step("responses.retrieve, input_items, delete", async () => {
  const said = await client.responses.create({ model, input: "hi" });
  const again = await client.responses.retrieve(said.id);
  const items = await collect(client.responses.inputItems.list(said.id));
  await client.responses.delete(said.id);
  const gone = await refusal(() => client.responses.retrieve(said.id));
  return [again.output_text, items.map((item) => item.content[0].text), gone.slice(0, 2)];
});
await step("ResponsesWS", async () => {
  const socket = new ResponsesWS(client);
  const finished = [];
  let waiting;
  socket.on("error", (error) => waiting?.reject(error));
  socket.on("response.completed", (event) => {
    finished.push(event.response);
    waiting.resolve(event.response);
  });
  await new Promise((resolve, reject) => {
    socket.socket.once("open", resolve);
    socket.socket.once("error", reject);
  });
  const answer = (fields) =>
    new Promise((resolve, reject) => {
      waiting = { resolve, reject };
      socket.send({ type: "response.create", model, ...fields });
    });
  const asked = await answer({ input: "How many?", tools });
  const said = await answer({
    input: outputs(callsOf(asked)),
    tools,
    previous_response_id: asked.id,
  });
  socket.close();
  return [callsOf(asked).map((call) => call.name), said.output.at(-1).content[0].text];
});
await step("chat.create", async () => {
  const said = await client.chat.completions.create({ model, messages });
  const [choice] = said.choices;
  return [choice.message.content, choice.finish_reason, said.model, usage(said.usage)];
});
await step("chat.create, streaming", async () => {
  const options = { model, messages, stream: true, stream_options: { include_usage: true } };
  const chunks = await collect(await client.chat.completions.create(options));
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return [
    choices.map((choice) => choice.delta.content ?? "").join(""),
    choices.map((choice) => choice.finish_reason).filter(Boolean),
    usage(chunks.at(-1).usage),
  ];
});
await step("chat.stream, tools", async () => {
  const stream = client.chat.completions.stream({ model, messages, tools: chatTools });
  const { message, finish_reason: reason } = (await stream.finalChatCompletion()).choices[0];
  const results = message.tool_calls.map((call) => ({
    role: "tool",
    tool_call_id: call.id,
    content: `seven ${call.function.name}`,
  }));
  const history = [...messages, message, ...results];
  const said = await client.chat.completions.create({ model, messages: history, tools: chatTools });
  return [
    message.tool_calls.map((call) => [call.type, call.function.name, call.function.arguments]),
    reason,
    said.choices[0].message.content,
  ];
});
await step("chat.runTools", async () => {
  const run = client.chat.completions.runTools({
    model,
    messages,
    stream: true,
    tools: [
      {
        type: "function",
        function: { name: "count", parameters, parse: JSON.parse, function: ({ species }) => `7 ${species}` },
      },
    ],
  });
  return run.finalContent();
});
await step("chat.parse", async () => {
  const said = await client.chat.completions.parse({
    model,
    messages,
    response_format: zodResponseFormat(Bird, "bird"),
  });
  return said.choices[0].message.parsed;
});
await step("models", async () => {
  const listed = await collect(client.models.list());
  return [listed.some((one) => one.id === model), (await client.models.retrieve(model)).id];
});
await step("images.generate", async () => {
  const made = await client.images.generate({ model: "gpt-image-2", prompt: "a wren" });
  return Buffer.from(made.data[0].b64_json, "base64").subarray(1, 4).toString();
});
await step("images.edit", async () => {
  const drawn = await client.images.generate({ model: "gpt-image-2", prompt: "a wren" });
  const picture = Buffer.from(drawn.data[0].b64_json, "base64");
  const image = await toFile(picture, "wren.png", { type: "image/png" });
  const made = await client.images.edit({ model: "gpt-image-2", image, prompt: "a red one" });
  return Buffer.from(made.data[0].b64_json, "base64").subarray(1, 4).toString();
});

const asks = {
  responses: () => client.responses.create({ model, input: "hi" }),
  chat: () => client.chat.completions.create({ model, messages }),
};
for (const [api, ask] of Object.entries(asks)) {
  await step(`a usage limit, ${api}`, async () => {
    await arm("usage_limit_429", 9);
    return refusal(ask);
  });
  await step(`an unknown model, ${api}`, () =>
    refusal(() =>
      api === "chat"
        ? client.chat.completions.create({ model: "gpt-0", messages })
        : client.responses.create({ model: "gpt-0", input: "hi" }),
    ),
  );
}
await step("a wrong key", () => refusal(() => new OpenAI({ apiKey: "wrong" }).models.list()));
await step("overloaded inside a 200, chat", async () => {
  await arm("overloaded_in_stream");
  return (await client.chat.completions.stream({ model, messages }).finalContent());
});
await step("overloaded inside a 200, responses", async () => {
  await arm("overloaded_in_stream");
  return (await client.responses.stream({ model, input: "hi" }).finalResponse()).output_text;
});
for (const fault of ["response_failed_after_text", "eof_without_terminal"]) {
  await step(`${fault}, chat`, async () => {
    await arm(fault, 9);
    const options = { model, messages, stream: true };
    return (await collect(await client.chat.completions.create(options))).length;
  });
  await step(`${fault}, chat.stream`, async () => {
    await arm(fault, 9);
    return client.chat.completions.stream({ model, messages }).finalContent();
  });
  await step(`${fault}, responses`, async () => {
    await arm(fault, 9);
    return (await collect(await client.responses.create({ model, input: "hi", stream: true }))).length;
  });
  await step(`${fault}, responses.stream`, async () => {
    await arm(fault, 9);
    return (await client.responses.stream({ model, input: "hi" }).finalResponse()).output_text;
  });
}
await step("an expired token", async () => {
  await control("tokens", { expire_access_tokens: true });
  return (await client.responses.create({ model, input: "hi" })).output_text;
});
report();
