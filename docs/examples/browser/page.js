const status = document.querySelector("#status");
const form = document.querySelector("form");
const button = document.querySelector("button");
const preview = document.querySelector("img");
const answer = document.querySelector("output");

// The model runs in a worker, so that the page shows each word as it comes.
const worker = new Worker("worker.js", { type: "module" });

worker.onmessage = ({ data }) => {
  switch (data.kind) {
    case "loading":
      status.textContent = `Loading the model … ${Math.round(data.percent)} %`;
      break;
    case "ready":
      status.textContent = "Ready";
      button.disabled = false;
      break;
    case "text":
      answer.textContent += data.text;
      break;
    case "error":
      status.textContent = data.message;
      break;
  }
};
worker.onerror = (event) => {
  status.textContent = event.message;
};

form.picture.onchange = () => {
  URL.revokeObjectURL(preview.src);
  const [file] = form.picture.files;
  preview.hidden = !file;
  if (file) preview.src = URL.createObjectURL(file);
};

form.onsubmit = (event) => {
  event.preventDefault();
  button.disabled = true;
  status.textContent = "Answering …";
  answer.textContent = "";
  worker.postMessage({ picture: form.picture.files[0], question: form.question.value });
};
