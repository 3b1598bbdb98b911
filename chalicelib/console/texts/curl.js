/** Texts of calls that are copied as commands. */

export const C = {
  title: "Copy as curl",
  copied: "The command has been copied. It reads your token from the variable TOKEN of the shell.",
  byHand: "The browser does not allow access to the clipboard. Copy this command. It reads your token from "
    + "the variable TOKEN of the shell.",
  section: "The same with the API",
  sectionText: "Copies a call as a curl command without token and secrets. Set the variable TOKEN of your shell first.",
  read: "Copy reading as curl",
  replace: "Copy replacing as curl",
  test: "Copy the test as curl",
};
