"""Networks: tensors and token ids in, tensors and token ids out. Knows no text files, jobs, or ffmpeg."""
