//! What comes on the admin socket.

use crate::admin::{MAX_LINE, Request};

/// Anything as a line: a request that says the same when it is written and read again, or an error that names what is there.
pub fn admin_request(data: &[u8]) {
    match Request::parse(data) {
        Ok(request) => {
            let line = request.to_json().to_string();
            assert_eq!(Request::parse(line.as_bytes()).as_ref(), Ok(&request), "{line}");
        }
        Err(error) => {
            let error = error.to_reply();
            assert!(!error.kind.is_empty() && !error.message.is_empty());
            assert!(!error.message.contains('\n'), "one line: {error:?}");
            assert!(error.offset.is_none_or(|offset| offset <= data.len()), "{error:?}");
            assert!(error.message.len() <= 1_024, "a short line: {error:?}");
            assert_eq!(error.kind == "line-too-long", data.len() > MAX_LINE);
        }
    }
}
