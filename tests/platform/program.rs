//! `drplan` as a person uses it: a program with a journal of its own, what it prints, and what is typed at it. It does not
//! know any plan.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing that these tests wait for takes that long, on cores that others use too.
const LIMIT: Duration = Duration::from_secs(90);

/// The program with a journal and an environment.
pub struct Program {
    /// Its journal and whatever a test leaves beside it.
    pub home: tempfile::TempDir,
    /// Its environment, beside the test's own.
    pub env: BTreeMap<String, String>,
}

/// What a command said.
pub struct Said {
    /// Its exit code.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
}

impl Program {
    /// With an empty journal.
    pub fn new() -> Program {
        let home = tempfile::tempdir().unwrap();
        let mut env = BTreeMap::new();
        env.insert("DRPLAN_JOURNAL".to_owned(), home.path().join("journal.db").display().to_string());
        env.insert("DRPLAN_OPERATOR".to_owned(), "jo@desk".to_owned());
        Program { home, env }
    }

    fn carried(&self, mut command: Command) -> Command {
        command.stdin(Stdio::null()).envs(&self.env);
        command
    }

    fn drplan(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drplan"));
        command.args(args);
        self.carried(command)
    }

    /// Types a command and prints both the command and what it says.
    pub fn say(&self, args: &[&str]) -> Said {
        println!("  $ drplan {}", args.join(" "));
        let said = ended(self.drplan(args));
        said.text.lines().for_each(|line| println!("    {line}"));
        println!("    (exit code {})", said.code);
        said
    }

    /// Types a line as the screen offers it, in a shell, its `…` filled in.
    fn typed(&self, line: &str) {
        let line = line.replace("--reason …", "--reason 'seen by the person of this test'");
        println!("  $ {line}");
        let mut shell = Command::new("sh");
        let rest = line.strip_prefix("drplan ").expect("every line offered begins with the program's name");
        shell.args(["-c", &format!("'{}' {rest}", env!("CARGO_BIN_EXE_drplan"))]);
        let mut shell = self.carried(shell);
        // Two who approve are two people.
        if let Some((_, person)) = rest.split_once(" --as ").filter(|_| rest.starts_with("approve ")) {
            shell.env("DRPLAN_OPERATOR", format!("{}@desk", person.trim()));
        }
        let said = ended(shell);
        assert_eq!(said.code, 0, "what the screen offers was refused: {line}\n{}", said.text);
    }

    /// Starts a command that goes on by itself.
    pub fn start(&self, args: &[&str]) -> Going {
        println!("  $ drplan {} &", args.join(" "));
        let mut child = self.drplan(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let pipes: [Box<dyn Read + Send>; 2] = [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for pipe in pipes {
            let send = send.clone();
            std::thread::spawn(move || BufReader::new(pipe).lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        }
        Going { child, lines, said: Vec::new(), answered: BTreeSet::new() }
    }

    /// `drplan … --json`, as values, one a line or one in all.
    fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.drplan(args).arg("--json").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
        values.unwrap_or_else(|e| panic!("drplan {args:?} --json: {e}\n{text}\n{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// The name of the newest run.
    pub fn run(&self) -> String {
        self.json(&["runs"])[0][0]["id"].as_str().expect("there is a run").to_owned()
    }

    /// `drplan status RUN --json`.
    pub fn status(&self, run: &str) -> Value {
        self.json(&["status", run]).remove(0)
    }

    /// The events of a run that are about a step: `event`, and its fields.
    pub fn events(&self, run: &str, step: &str) -> Vec<Value> {
        let all = self.json(&["log", run]).into_iter().map(|mut line| line["event"].take());
        all.filter(|event| event["step"] == step).collect()
    }
}

/// A command that goes on. Dropped, it is killed.
pub struct Going {
    child: Child,
    lines: Receiver<String>,
    /// All that it said so far.
    pub said: Vec<String>,
    answered: BTreeSet<String>,
}

impl Going {
    /// Reads on until a line that this knows, answering questions about these steps as the screen offers it.
    pub fn until(&mut self, program: &Program, answers: &[&str], wanted: impl Fn(&str) -> bool) {
        if self.read(program, answers, wanted) {
            return;
        }
        panic!("it ended before what was waited for, with {:?}", self.child.wait());
    }

    /// Reads on to the end, answering questions about these steps; gives the exit code.
    pub fn end(&mut self, program: &Program, answers: &[&str]) -> i32 {
        self.read(program, answers, |_| false);
        let code = self.child.wait().unwrap().code().expect("it ends by itself");
        println!("    (exit code {code})");
        code
    }

    /// All that it said, as one text.
    pub fn text(&self) -> String {
        self.said.join("\n")
    }

    fn read(&mut self, program: &Program, answers: &[&str], wanted: impl Fn(&str) -> bool) -> bool {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    println!("    {line}");
                    self.said.push(line.clone());
                    if wanted(&line) {
                        return true;
                    }
                    if line.contains(" ? ") {
                        self.answer(program, answers);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("it goes on for more than {LIMIT:?}: does it wait for what no one answers?"),
            }
        }
    }

    /// Answers every question that stands, each once, with the most hopeful line that is offered.
    fn answer(&mut self, program: &Program, answers: &[&str]) {
        let run = program.run();
        let status = program.status(&run);
        let asks = status["story"]["steps"].as_array().unwrap().iter().filter(|step| step["status"] == "asks");
        let asks: Vec<String> = asks.map(|step| step["id"].as_str().unwrap().to_owned()).collect();
        let next: Vec<&str> = status["next"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        for step in asks {
            assert!(answers.contains(&step.as_str()), "nobody expected a question about `{step}`: {next:#?}");
            let about: Vec<&&str> = next.iter().filter(|line| line.contains(&format!(" {run} {step} "))).collect();
            let hopeful = |line: &&&&str| line.starts_with("drplan approve ") || line.contains(" --as done ");
            let word = format!(" {step} ");
            match about.iter().find(hopeful) {
                // A second person is offered another line.
                Some(line) if self.answered.insert((**line).to_owned()) => program.typed(line),
                Some(_) => {}
                // It has been said, and is not yet heard.
                None => assert!(self.answered.iter().any(|l| l.contains(&word)), "no way on is offered for `{step}`: {next:#?}"),
            }
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        println!("  $ kill -9 {}", self.child.id());
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C, and the exit code.
    #[cfg(all(feature = "aws", feature = "postgres"))]
    pub fn interrupt(&mut self, program: &Program) -> i32 {
        println!("  $ kill -INT {}", self.child.id());
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        self.end(program, &[])
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(mut command: Command) -> Said {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    Said { code: output.status.code().expect("it ends by itself"), text }
}

/// Waits until something outside is so.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < LIMIT, "waited {LIMIT:?} until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
