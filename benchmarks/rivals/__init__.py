"""What users would write or pick instead, each in its best honest form, as a process of its own."""
