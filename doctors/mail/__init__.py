"""
Mails to doctors: asked for with the change that they tell of, sent in the background.

At least once: a worker that dies between the server's answer and its note of it sends the mail again, with the same
Message-ID, by which mail systems tell a copy. At most once would mean to note it first, and to lose the mail in that
case: a doctor who does not know of being bookable is worse than one who reads it twice.
"""
