// SPDX-License-Identifier: MIT OR Apache-2.0
//! A supervised program that connects when it is told to.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::harness::{Home, Server};

/// Connects to the port on each line of its input, and says what came of it.
const PROGRAM: &str = "
import socket, sys
for line in sys.stdin:
    try:
        socket.create_connection(('127.0.0.1', int(line)), timeout=30).close()
        print('reached', flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
";

pub(crate) struct Visitor {
    process: Child,
    questions: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Visitor {
    /// /usr/bin/python3, with these arguments behind the program's.
    pub(crate) fn of(home: &Home, arguments: &[&str]) -> Self {
        let command = [&["/usr/bin/python3", "-uc", PROGRAM][..], arguments].concat();
        let mut supervised = home.supervised(&command);
        let mut process = supervised.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, questions, answers }
    }

    /// `reached`, or why not.
    pub(crate) fn visit(&mut self, server: &Server) -> String {
        writeln!(self.questions, "{}", server.port).unwrap();
        self.answers.next().unwrap().unwrap()
    }

    /// Has nothing more to do, and must end well.
    pub(crate) fn end(mut self) {
        drop(self.questions);
        assert!(self.process.wait().unwrap().success());
    }
}
