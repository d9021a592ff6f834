//! A message as it is sent to another host, read once from its head to its end.

use std::io;

use super::{Content, Plan, Recoder};

/// What is read next.
#[derive(Debug)]
pub struct Reader {
    content: Content,
    /// How much of the content was read.
    read: u64,
    recoder: Option<Recoder>,
    recoded: Vec<u8>,
}

impl Reader {
    /// The message as it is, or changed by this plan.
    #[must_use]
    pub fn new(content: Content, plan: Option<Plan>) -> Self {
        Self { content, read: 0, recoder: plan.map(Recoder::new), recoded: Vec::new() }
    }

    /// The next piece; an empty one is the end.
    ///
    /// # Errors
    /// The spool cannot be read, or its file became shorter.
    pub fn next<'a>(&'a mut self, buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
        let read = self.read_into(buffer)?;
        if self.recoder.is_none() {
            return Ok(buffer.get(..read).unwrap_or_default());
        }
        self.recode(buffer, read)?;
        Ok(&self.recoded)
    }

    /// Length of all of it in octets, by reading it.
    ///
    /// # Errors
    /// The spool cannot be read, or its file became shorter.
    pub fn measure(mut self, buffer: &mut [u8]) -> io::Result<u64> {
        let mut length = 0;
        loop {
            match self.next(buffer)?.len() {
                0 => return Ok(length),
                more => length += u64::try_from(more).unwrap_or(u64::MAX),
            }
        }
    }

    fn read_into(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.content.read_at(self.read, buffer)? {
            0 if self.read < self.content.length() => Err(shorter()),
            read => {
                self.read += u64::try_from(read).unwrap_or(u64::MAX);
                Ok(read)
            }
        }
    }

    /// Goes on until something comes of it.
    fn recode(&mut self, buffer: &mut [u8], mut read: usize) -> io::Result<()> {
        self.recoded.clear();
        while let Some(recoder) = &mut self.recoder {
            if read == 0 {
                recoder.finish(&mut self.recoded);
                self.recoder = None;
                return Ok(());
            }
            recoder.take(buffer.get(..read).unwrap_or_default(), &mut self.recoded);
            if !self.recoded.is_empty() {
                return Ok(());
            }
            read = self.read_into(buffer)?;
        }
        Ok(())
    }
}

fn shorter() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it was")
}
