"""stub"""
def speak_chinese(text: str) -> str:
    return text
