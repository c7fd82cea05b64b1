// What is missing because a resource is off, and the line of the settings that switches it on.
export function SwitchOn({ model, needs, what }) {
  const all = [...new Set([...model.facts.resources, ...needs])].map((name) => `"${name}"`).join(", ");
  return <p class="note">{what}: not exported. Switch on in appstream-export.toml: <code>[contracts] resources = [{all}]</code></p>;
}
