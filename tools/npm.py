"""npm packages that tools need, each at one version, in node_modules."""
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = dict(katex='0.16.47', lighthouse='12.8.2')

def installed(name):
    "Version of the package in node_modules, or None."
    about = ROOT/'node_modules'/name/'package.json'
    return json.loads(about.read_text(encoding='utf-8'))['version'] if about.exists() else None

def npm_package(name, purpose):
    "The folder of a package, which npm installs once; exits without Node.js."
    npm = shutil.which('npm')
    if not npm or not shutil.which('node'):
        sys.exit(f'{purpose} needs Node.js with npm: install it and run again.')
    if installed(name) == VERSIONS[name]: return ROOT/'node_modules'/name
    names = [n for n in VERSIONS if n == name or installed(n)] # npm removes what an install does not name
    options = '--no-save --no-package-lock --ignore-scripts --no-audit --no-fund'.split()
    words = [npm, 'install', '--prefix', ROOT, *options, *(f'{n}@{VERSIONS[n]}' for n in names)]
    r = subprocess.run(words, capture_output=True, text=True)
    if r.returncode: sys.exit(f'npm could not install {words[-1]}:\n{r.stderr}')
    return ROOT/'node_modules'/name
