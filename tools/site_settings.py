"""Folders and addresses of the site, and small functions that its tools share."""
import json
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ConfigParser(delimiters=['='])
CONFIG.read(ROOT/'settings.ini', encoding='utf-8')
CONFIG = CONFIG['DEFAULT']
NBS, DOCS, PROC = ROOT/CONFIG['nbs_path'], ROOT/CONFIG['doc_path'], ROOT/'_proc'
BASE = CONFIG['doc_baseurl'] + '/'
HOST = CONFIG['doc_host'] + BASE

def text(x): return ''.join(x) if isinstance(x, list) else x
def read(path): return path.read_text(encoding='utf-8')
def read_json(path): return json.loads(read(path))
def write(path, s): path.write_text(s, encoding='utf-8', newline='\n')
