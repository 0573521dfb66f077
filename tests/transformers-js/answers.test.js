// Answers of the small trained checkpoint about pictures, through Transformers.js, against Hugging Face's in float32.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { describe, test } from "node:test";
import { exportPackage } from "./support/export_package.js";
import { data, temporaryFolder } from "./support/folders.js";
import { askQuestions } from "./support/questions.js";

const questions = path.join(data, "shapes/questions.json");

function differing(answers) {
  return answers.filter((answer) => !answer.isEqual).map(({ question, text }) => `${question.images}: ${text}`);
}

describe("answers of the small trained checkpoint", () => {
  test("fp32: all that are no close call, from prompts equal to the token", async () => {
    const answers = await askQuestions(exportPackage("shapes", ["--recipe", "fp32", "--layout", "universal"]), questions);
    assert.equal(answers.length, 41);
    assert.ok(answers.every((answer) => answer.promptIsEqual));
    assert.deepEqual(differing(answers.filter((answer) => answer.isClear)), []);
  });

  test("int4: nearly all", async () => {
    const answers = await askQuestions(exportPackage("shapes", ["--layout", "transformers-js"]), questions);
    assert.ok(differing(answers).length <= 0.05 * answers.length, differing(answers).join("\n"));
  });

  test("a wrong answer and a wrong prompt are seen", async () => {
    const folder = temporaryFolder();
    fs.symlinkSync(path.join(data, "shapes/images"), path.join(folder, "images"));
    const [first, second] = JSON.parse(fs.readFileSync(questions)).questions;
    first.hf_fp32_ids[0] += 1;
    second.input_ids[0] += 1;
    fs.writeFileSync(path.join(folder, "questions.json"), JSON.stringify({ questions: [first, second] }));
    const answers = await askQuestions(exportPackage("shapes", ["--recipe", "fp32"]), path.join(folder, "questions.json"));
    assert.deepEqual(answers.map((answer) => answer.isEqual), [false, true]);
    assert.deepEqual(answers.map((answer) => answer.promptIsEqual), [true, false]);
  });
});
