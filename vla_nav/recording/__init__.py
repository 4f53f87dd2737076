"""What a run leaves behind: a folder with a summary, a video and a bag."""
