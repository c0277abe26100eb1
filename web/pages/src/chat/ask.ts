// The dialog that asks for a name.

interface Question {
  title: string;
  label: string;
  submit: string;
  value?: string;
  /** Gets the answer. If it rejects, the dialog shows why and stays open. */
  done: (answer: string) => Promise<unknown>;
}

export class Ask {
  #dialog = document.querySelector<HTMLDialogElement>("#ask")!;
  #input = document.querySelector<HTMLInputElement>("#ask-value")!;
  #error = document.querySelector<HTMLElement>("#ask-error")!;
  #explain: (error: unknown) => string;
  #question: Question | undefined;

  constructor(explain: (error: unknown) => string) {
    this.#explain = explain;
    this.#dialog.querySelector("form")!.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    document.querySelector("#ask-cancel")!.addEventListener("click", () => this.#dialog.close());
  }

  show(question: Question): void {
    this.#question = question;
    document.querySelector("#ask-title")!.textContent = question.title;
    document.querySelector("#ask-label")!.textContent = question.label;
    document.querySelector("#ask-submit")!.textContent = question.submit;
    this.#input.value = question.value ?? "";
    this.#error.textContent = "";
    this.#dialog.showModal();
    this.#input.select();
  }

  async #submit(): Promise<void> {
    const question = this.#question;
    try {
      await question?.done(this.#input.value);
      if (this.#question === question) this.#dialog.close();
    } catch (error) {
      this.#error.textContent = this.#explain(error);
    }
  }
}
