//! Forty values that try to be more than values, each by what it tries. It does not know where they are given.

/// What each tries, and the value.
pub const VALUES: [(&str, &str); 40] = [
    ("nothing", ""),
    ("a space", " "),
    ("a single quote", "it's; touch pwned"),
    ("a double quote", "\"; touch pwned; \""),
    ("both quotes", "'\"; touch pwned; '\""),
    ("a backslash at the end", "touch pwned \\"),
    ("a command substitution", "$(touch pwned)"),
    ("backticks", "`touch pwned`"),
    ("a variable", "$HOME ${PATH:-$(touch pwned)}"),
    ("a reference of a plan", "$${secrets.key} $${params.p1}"),
    ("a pipe", "| touch pwned"),
    ("and", "&& touch pwned"),
    ("a redirection", "> pwned"),
    ("lines", "one\ntouch pwned\nthree"),
    ("lines as Windows has them", "one\r\ntouch pwned\r\n"),
    ("a return without a line", "12:00:00 ✗ real\r12:00:00 ✓ fake"),
    ("a line of a log", "x\n12:00:00 ✓ promote  done"),
    ("an option", "--exec=touch pwned"),
    ("an option after a dash", "-c touch pwned"),
    ("the end of options", "-- touch pwned"),
    ("a glob", "/*"),
    ("a path upwards", "../../../../../../etc/passwd"),
    ("handlebars", "{{scenario}} {{{raw}}} {{#each steps}}x{{/each}}"),
    ("YAML", "a: [b, {c: *d}]\n- !!python/object/apply:os.system ['touch pwned']"),
    ("a YAML document", "---\ndrplan: v1\n...\n"),
    ("JSON", "{\"event\":\"done\",\"step\":\"gate\"}"),
    ("a fence", "```\ntouch pwned\n```"),
    ("a fence that closes another", "a\n```\n\n```sh\ntouch pwned\n```\nb"),
    ("a table", "a | b | c\n|---|---|\n"),
    ("a ticked box", "- [x] `gate`  **done**"),
    ("HTML", "<script>fetch('//pwned')</script><img src=x onerror=alert(1)>"),
    ("a here-document", "x\nSQL\ntouch pwned\nEOF\n"),
    ("SQL", "'; drop table t; --"),
    ("colours", "\u{1b}[31mred\u{1b}[8mhidden"),
    ("a cleared screen", "\u{1b}[2J\u{1b}[H\u{1b}[1Agone"),
    ("a title and a bell", "\u{1b}]0;pwned\u{7}\u{1b}P+q\u{1b}\\"),
    ("eight-bit controls", "\u{9b}31mred\u{9d}0;pwned\u{9c}"),
    ("letters turned round", "gate \u{202e}enod\u{202c} \u{2066}x\u{2069}\u{200f}"),
    ("what nobody sees", "ga\u{200b}te\u{feff}\u{ad}\u{e0041}\u{2028}x"),
    ("a NUL", "before\0after"),
];

/// Whether a terminal would obey a character. Written apart from the program's own list.
pub fn obeyed(c: char) -> bool {
    let code = c as u32;
    code < 0x20
        || (0x7f..0xa0).contains(&code)
        || [0xad, 0x61c, 0x180e, 0xfeff].contains(&code)
        || (0x200b..=0x200f).contains(&code)
        || (0x2028..=0x202e).contains(&code)
        || (0x2060..=0x206f).contains(&code)
        || (0xe0000..=0xe007f).contains(&code)
}
