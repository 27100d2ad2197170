// Promises an example for each rule about witnesses. Trusts example.ts for the form; a test runs each.
import type { RuleExamples } from "./example.ts";

const keys = {
  notary: "witness.notary.example+2b951677+BIqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c",
  auditor: "witness.auditor.example+716e015f+BIE5dw6ofRdfVqNUZsNMfszLjYqRtO43ol32D1uPybOU",
  partner: "witness.partner.example+d1008df0+BO1JKMYo0cLG6ukDOJBZlWEpWSc6XGP5NjbBRhSshzfR",
} as const;

const outside = (name: keyof typeof keys, scheme = "https") => `    ${name}:
      url: ${scheme}://witness.${name}.example/
      key: ${keys[name]}`;

const estate = (quorum: string, ...witnesses: readonly string[]) => `# sallyport.yaml
witnesses:
  quorum: ${quorum}
  outside:
${witnesses.join("\n")}`;

const twoOfThree = estate("2", outside("notary"), outside("auditor"), outside("partner"));

export const witnessExamples: RuleExamples = {
  "witness-quorum-unmet": {
    bad: estate("3", outside("notary"), outside("auditor")),
    good: twoOfThree,
    waive: "never: nothing would be witnessed.",
  },
  "witness-single-point": {
    bad: estate("1", outside("notary"), outside("auditor")),
    good: twoOfThree,
    waive: "while the second witness is being set up, with the day it will be there.",
  },
  "witness-quorum-split": {
    bad: estate("1", outside("notary"), outside("auditor"), outside("partner")),
    good: twoOfThree,
    waive: "never for long: a log that is shown to two readers in two ways is what witnesses are for.",
  },
  "witness-insecure-url": {
    bad: estate("2", outside("notary", "http"), outside("auditor"), outside("partner")),
    good: twoOfThree,
    waive: "for a witness behind a tunnel or mesh that encrypts, with its name.",
  },
};
