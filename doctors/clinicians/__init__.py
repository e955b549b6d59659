"""The "Doctors and Clinicians" file of the US CMS: its format, reading it, importing it, making one like it."""
