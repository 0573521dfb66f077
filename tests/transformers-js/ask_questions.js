// node ask_questions.js PACKAGE QUESTIONS.json: each answer beside the one that Hugging Face gave, and how many are equal.
import { askQuestions } from "./support/questions.js";

const [folder, file] = process.argv.slice(2);
const answers = await askQuestions(folder, file);
for (const { question, text, isEqual, isClear } of answers) {
  console.log(`${question.images.join(", ")}: ${question.question}`);
  console.log(`  answer:       ${text}`);
  console.log(`  Hugging Face: ${question.hf_fp32_answer}  ${isEqual ? "[equal]" : "[DIFFERENT]"}${isClear ? "" : " (a close call there)"}`);
}
const clear = answers.filter((answer) => answer.isClear);
const count = (list) => `${list.filter((answer) => answer.isEqual).length} of ${list.length}`;
console.log(`prompts equal to Hugging Face's: ${answers.filter((answer) => answer.promptIsEqual).length} of ${answers.length}`);
console.log(`answers equal to Hugging Face's: ${count(answers)}, ${count(clear)} of those that were no close call`);
