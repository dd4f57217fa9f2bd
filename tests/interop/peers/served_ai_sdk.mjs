// Runs the Vercel AI SDK as it is, with its provider for OpenAI over both APIs and the one for compatible servers.

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { arm, control, report, step } from "./steps.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const openai = createOpenAI(); // by OPENAI_BASE_URL and OPENAI_API_KEY
const compatible = createOpenAICompatible({
  name: "onplan",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const models = {
  responses: openai("gpt-5.5"),
  chat: openai.chat("gpt-5.5"),
  compatible: compatible("gpt-5.5"),
};
const count = tool({
  description: "How many there are.",
  inputSchema: z.object({ species: z.string() }),
  execute: async ({ species }) => `seven of ${species}`,
});
const Bird = z.object({ name: z.string(), wings: z.number().int() });

const usage = (counts) => [
  counts.inputTokens,
  counts.outputTokens,
  counts.outputTokenDetails?.reasoningTokens ?? counts.reasoningTokens,
  counts.totalTokens,
];

/** A stream's text, its parts' types, what ended it, and its errors. */
async function streamed(options) {
  const found = { text: "", pieces: 0, kinds: [], errors: [], calls: [] };
  const result = streamText({ ...options, maxRetries: options.maxRetries ?? 2, onError: () => {} });
  for await (const part of result.fullStream) {
    if (!found.kinds.includes(part.type)) found.kinds.push(part.type);
    if (part.type === "text-delta") {
      found.text += part.text;
      found.pieces += 1;
    }
    if (part.type === "tool-call") found.calls.push([part.toolName, part.input]);
    if (part.type === "error") {
      const { error } = part;
      found.errors.push([error?.name ?? typeof error, String(error?.message ?? JSON.stringify(error))]);
    }
    if (part.type === "finish") {
      found.reason = part.finishReason;
      found.usage = usage(part.totalUsage);
    }
  }
  return found;
}

for (const [api, model] of Object.entries(models)) {
  await step(`generateText, ${api}`, async () => {
    const said = await generateText({ model, system: "Be brief.", prompt: "hi" });
    return [said.text, said.finishReason, usage(said.usage)];
  });
  await step(`streamText, ${api}`, async () => {
    const said = await streamed({ model, prompt: "hi" });
    return [said.text, said.pieces > 1, said.reason, said.usage, said.errors];
  });
  await step(`generateText with tools, ${api}`, async () => {
    const options = { model, prompt: "How many?", tools: { count }, stopWhen: stepCountIs(3) };
    const said = await generateText(options);
    return [said.steps.map((one) => one.finishReason), said.text];
  });
  await step(`streamText with tools, ${api}`, async () => {
    const options = { model, prompt: "How many?", tools: { count }, stopWhen: stepCountIs(3) };
    const said = await streamed(options);
    return [said.calls, said.text, said.reason, said.errors];
  });
  await step(`Output.object, ${api}`, async () => {
    const options = { model, prompt: "A bird?", output: Output.object({ schema: Bird }) };
    return (await generateText(options)).output;
  });
  await step(`overloaded inside a 200, ${api}`, async () => {
    await arm("overloaded_in_stream");
    const said = await streamed({ model, prompt: "hi", maxRetries: 0 });
    return [said.text, said.errors];
  });
  await step(`a usage limit, ${api}`, async () => {
    await arm("usage_limit_429", 9);
    return (await generateText({ model, prompt: "hi", maxRetries: 0 })).text;
  });
  for (const fault of ["response_failed_after_text", "eof_without_terminal"]) {
    await step(`${fault}, ${api}`, async () => {
      await arm(fault, 9);
      const said = await streamed({ model, prompt: "hi" });
      return [said.reason, said.errors.length > 0];
    });
  }
}
await step("reasoning, responses", async () => {
  const providerOptions = { openai: { reasoningSummary: "auto", store: false } };
  const options = { model: models.responses, prompt: "How many?", tools: { count }, providerOptions };
  const said = await generateText({ ...options, stopWhen: stepCountIs(3) });
  return [said.steps[0].reasoningText?.split("\n")[0], said.text];
});
await step("reasoning, compatible", async () => {
  const providerOptions = { onplan: { reasoningEffort: "high" } };
  const said = await streamed({ model: models.compatible, prompt: "hi", providerOptions });
  return [said.kinds.includes("reasoning-delta"), said.text];
});
await step("an expired token", async () => {
  await control("tokens", { expire_access_tokens: true });
  return (await generateText({ model: models.compatible, prompt: "hi" })).text;
});
report();
